"""Ctrl-C before the command is ready for it. Imports nothing of the project: it is in use while that is loaded."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from contextlib import contextmanager

from ziggurat.node.cli.exit_code import INTERRUPTED

__all__ = ["quit_on_interrupt"]


@contextmanager
def quit_on_interrupt() -> Generator[None, None, None]:
    """End the process at once on SIGINT, with the exit code 130, for the length of a ``with`` block.

    `KeyboardInterrupt` does not do: where an import happens to run a callback of the interpreter, Python prints the
    exception and goes on. Nothing may be open yet that has to be closed.
    """
    before = signal.getsignal(signal.SIGINT)
    try:
        if before is signal.default_int_handler:  # else it is ignored, as in a script's background, or is the caller's
            signal.signal(signal.SIGINT, lambda number, frame: os._exit(INTERRUPTED))
    except ValueError:  # not the main thread, which alone gets signals
        before = None
    try:
        yield
    finally:
        if before is signal.default_int_handler:
            signal.signal(signal.SIGINT, before)
