"""The command `ziggurat`: its subcommands, their output, the log, exit codes.

It may import every other room; no room imports it. It can be imported without POSIX; only a running node needs that.
"""

from ziggurat.node.cli.command import main

__all__ = ["main"]
