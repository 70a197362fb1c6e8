"""A table of text: a header, aligned columns, and on a terminal colour and a line per row that does not wrap."""

from __future__ import annotations

import shutil
import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ziggurat.node.cli.terminal import Paint, paint_for
from ziggurat.services.errors import fold

__all__ = ["Column", "print_table", "table_lines"]

GAP = "  "

MIN_WIDTH = 8
"""Characters that are left of the last column, however narrow the terminal is."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column.

    Attributes:
        title: its header.
        align: the side that its cells are aligned on.
        colour: the colour of its cells on a terminal; ``None`` for none.
    """

    title: str
    align: Literal["left", "right"] = "left"
    colour: str | None = None


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Print a table to stdout. Only a terminal's width shortens it: what reads a pipe gets the whole text."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    lines = table_lines(columns, rows, paint_for(sys.stdout), width)
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def table_lines(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], paint: Paint, width: int | None = None
) -> list[str]:
    """Return the lines of a table.

    Args:
        columns: the columns.
        rows: the cells of each row; control characters in them are escaped.
        paint: colours text.
        width: the width to shorten the last column for, in characters; ``None`` for any.
    """
    cells = [[fold(cell) for cell in row] for row in rows]
    widths = [max(map(_width, (column.title, *texts))) for column, *texts in zip(columns, *cells, strict=True)]
    if width is not None:
        widths[-1] = max(MIN_WIDTH, min(widths[-1], width - sum(widths[:-1]) - len(GAP) * (len(columns) - 1)))
    header = [Column(column.title, column.align, "bold") for column in columns]
    lines = [_line(header, [column.title for column in columns], widths, paint)]
    return lines + [_line(columns, row, widths, paint) for row in cells]


def _line(columns: Sequence[Column], cells: Sequence[str], widths: Sequence[int], paint: Paint) -> str:
    shown: list[str] = []
    for column, cell, width in zip(columns, cells, widths, strict=True):
        text = _shortened(cell, width)
        padding = " " * (width - _width(text))
        painted = text if column.colour is None else paint(column.colour, text)
        shown.append(padding + painted if column.align == "right" else painted + padding)
    return GAP.join(shown).rstrip()


def _shortened(text: str, width: int) -> str:
    if _width(text) <= width:
        return text
    while _width(text) > width - 1:
        text = text[:-1]
    return f"{text}…"


def _width(text: str) -> int:
    """Return how many columns of a terminal a text takes: two for most characters of East Asia, none for accents."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
