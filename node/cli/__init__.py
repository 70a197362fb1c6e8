"""The command `ziggurat`: its subcommands, what they print, the log, exit codes.

The top of the node: it may import every other room, and no room imports it.
"""

from ziggurat.node.cli.command import main

__all__ = ["main"]
