"""What a terminal is told, and in which colour; none for anything else."""

from __future__ import annotations

import codecs
import io
import os
import sys
from collections.abc import Callable
from typing import TextIO, TypeAlias

__all__ = ["BLOCK", "Paint", "open_streams", "paint_for", "print_error", "print_lines"]

Paint: TypeAlias = Callable[[str, str], str]
"""``paint("green", text)``: the text, in colour where that is wanted."""

BLOCK = "\u2588"
"""What bars are made of."""

UNPRINTABLE = "ziggurat.unprintable"
"""The name of what happens to characters that a stream's encoding does not have."""

SGR_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


def wants_colour(stream: TextIO) -> bool:
    """Whether ``stream`` is a terminal, and ``NO_COLOR`` (no-color.org) is not set."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint_for(stream: TextIO) -> Paint:
    """A `Paint` that suits ``stream``."""
    if wants_colour(stream):
        return lambda colour, text: f"\x1b[{SGR_CODES[colour]}m{text}\x1b[0m"
    return lambda colour, text: text


def open_streams() -> None:
    """Make stdout and stderr streams to which any text can be written, whatever they were when the program began.

    One that was closed (``>&-``) takes text and drops it. Characters that its encoding lacks, as ASCII and the code
    pages of Windows lack the bars, become ``#`` and ``?``.
    """
    codecs.register_error(UNPRINTABLE, _replace_unprintable)
    for name in ("stdout", "stderr"):
        stream: TextIO | None = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  (until the program ends)
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=UNPRINTABLE)


def _replace_unprintable(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end]
    return "".join("#" if character == BLOCK else "?" for character in text), error.end


def print_lines(*lines: str) -> None:
    """Print results, a line each."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def print_error(line: str) -> None:
    """Print what is wrong."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
