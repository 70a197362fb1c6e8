"""What a terminal is told, and in which colour; none for anything else."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TextIO, TypeAlias

__all__ = ["Paint", "complain", "paint_for", "say"]

Paint: TypeAlias = Callable[[str, str], str]
"""``paint("green", text)``: the text, in colour where that is wanted."""

CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


def colours_wanted(stream: TextIO) -> bool:
    """Whether ``stream`` is a terminal, and ``NO_COLOR`` (no-color.org) is not set."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint_for(stream: TextIO) -> Paint:
    """A `Paint` that suits ``stream``."""
    if colours_wanted(stream):
        return lambda colour, text: f"\x1b[{CODES[colour]}m{text}\x1b[0m"
    return lambda colour, text: text


def say(*lines: str) -> None:
    """Print results, a line each."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def complain(line: str) -> None:
    """Print what is wrong."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
