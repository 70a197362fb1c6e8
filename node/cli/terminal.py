"""Output to stdout and stderr; colour only on a terminal."""

from __future__ import annotations

import codecs
import io
import os
import select
import sys
import textwrap
from collections.abc import Callable
from typing import TextIO, TypeAlias

__all__ = [
    "BLOCK",
    "OutputError",
    "Paint",
    "flush_streams",
    "indented",
    "open_streams",
    "paint_for",
    "print_error",
    "print_lines",
    "unbuffered",
]

Paint: TypeAlias = Callable[[str, str], str]
"""``paint("green", text)`` returns the text, coloured if the stream supports it."""

BLOCK = "\u2588"
"""The character that bars are drawn with."""

UNPRINTABLE = "ziggurat.unprintable"
"""The name of our codec error handler."""

SGR_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


def wants_colour(stream: TextIO) -> bool:
    """Whether ``stream`` is a terminal, and neither ``NO_COLOR`` (no-color.org) nor ``TERM=dumb`` is set."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint_for(stream: TextIO) -> Paint:
    """Return the `Paint` for ``stream``: colour on a terminal, plain text elsewhere."""
    if wants_colour(stream):
        return lambda colour, text: f"\x1b[{SGR_CODES[colour]}m{text}\x1b[0m"
    return lambda colour, text: text


def open_streams() -> None:
    """Make sure that any text can be written to stdout and stderr.

    A stream that was closed (``>&-``) is replaced by one that discards. Characters that are not in a stream's encoding
    (ASCII and the code pages of Windows lack the bars) become ``#`` for a bar and ``?`` for others.
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


def unbuffered(stream: TextIO) -> Callable[[str], None]:
    """Return a function that writes text to a stream's descriptor, past the buffers of Python.

    A thread may hang in it for good: at its end the interpreter takes the lock of a stream's buffer, and aborts if
    another thread holds it. The function raises `OSError`.
    """
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):  # not a file, e.g. a test's

        def write_to_stream(text: str) -> None:
            stream.write(text)
            stream.flush()

        return write_to_stream
    encoding, errors = stream.encoding, stream.errors or "strict"

    def write(text: str) -> None:
        data = text.encode(encoding, errors)
        while data:
            try:
                data = data[os.write(descriptor, data) :]
            except BlockingIOError:  # another program has set the shared terminal or pipe so
                select.select([], [descriptor], [])

    return write


class OutputError(Exception):
    """Stdout does not take the result. ``reason`` is in one line; ``None`` if the reader is gone, as of ``| head``."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error.strerror)
        self.reason = None if isinstance(error, BrokenPipeError) else error.strerror


def indented(text: str) -> list[str]:
    """Return the text in lines that fit into 80 columns, indented by two and where it goes on by six."""
    return textwrap.wrap(
        text, 80, initial_indent=" " * 2, subsequent_indent=" " * 6, break_long_words=False, break_on_hyphens=False
    )


def print_lines(*lines: str) -> None:
    """Print lines to stdout.

    Raises:
        OutputError: they cannot be written.
    """
    try:
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        sys.stdout.flush()
    except OSError as error:
        _discard(sys.stdout)
        raise OutputError(error) from error


def print_error(line: str) -> None:
    """Print a line to stderr, if that is possible: the exit code tells the rest."""
    try:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
    except OSError:
        _discard(sys.stderr)


def flush_streams() -> None:
    """Flush stdout and stderr. Otherwise Python does it at its end, and exits with 120 if it cannot.

    Raises:
        OutputError: stdout cannot be flushed.
    """
    try:
        sys.stderr.flush()
    except OSError:
        _discard(sys.stderr)
    print_lines()


def _discard(stream: TextIO) -> None:
    """Send what the stream still holds, and all that follows, to nowhere."""
    try:
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, stream.fileno())
        os.close(descriptor)
    except (OSError, ValueError):  # no descriptor is free, or it is not a file
        pass
