"""The command `ziggurat`: subcommands, what they print, the log, exit codes.

It may import every other room; no room imports it. Importing it needs no POSIX: running a node does.
"""

from ziggurat.node.cli.command import main

__all__ = ["main"]
