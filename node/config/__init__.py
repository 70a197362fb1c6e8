"""From flags, environment variables and the TOML file to `Settings`; networks, the proxy, the app directory.

Knows nothing of connections. Imported by what builds or runs a node.
"""
