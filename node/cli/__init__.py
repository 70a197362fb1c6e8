"""The command `ziggurat`: its subcommands, their output, the log, exit codes.

It may import every other room; no room imports it. It can be imported without POSIX; only a running node needs that.
"""

from __future__ import annotations

from collections.abc import Sequence

from ziggurat.node.cli.interrupt import quit_on_interrupt

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; ``None`` uses ``sys.argv``. Bad arguments raise `SystemExit`."""
    with quit_on_interrupt():
        from ziggurat.node.cli.command import main as run  # here, as it takes a second
    return run(arguments)
