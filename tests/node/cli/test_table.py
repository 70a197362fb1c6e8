from __future__ import annotations

import io
import os
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.node.cli.table import Column, print_table, table_lines

COLUMNS = (Column("name"), Column("age", "right"), Column("text"))
ROWS = [["a", "10", "short"], ["longer", "5", "a text of thirty-six characters, here"]]


def plain(colour: str, text: str) -> str:
    return text


def tagged(colour: str, text: str) -> str:
    return f"<{colour}>{text}</>"


def test_columns_are_aligned_below_a_header() -> None:
    assert table_lines(COLUMNS, ROWS, plain) == [
        "name    age  text",
        "a        10  short",
        "longer    5  a text of thirty-six characters, here",
    ]


def test_the_last_column_is_shortened_to_the_width() -> None:
    lines = table_lines(COLUMNS, ROWS, plain, 30)

    assert lines[2] == "longer    5  a text of thirty…"
    assert max(map(len, lines)) == 30


def test_a_terminal_that_is_too_narrow_still_shows_a_beginning() -> None:
    assert table_lines(COLUMNS, ROWS, plain, 5)[2] == "longer    5  a text …"


def test_colour_is_not_counted_as_width() -> None:
    columns = (Column("name", colour="dim"), Column("age", "right", "red"), Column("text"))

    assert table_lines(columns, [["a", "1", "x"]], tagged) == [
        "<bold>name</>  <bold>age</>  <bold>text</>",
        "<dim>a</>       <red>1</>  x",
    ]


def test_a_wide_character_takes_two_columns_and_an_accent_none() -> None:
    lines = table_lines((Column("x"), Column("y")), [["日本", "1"], ["e\u0301", "2"]], plain)

    assert lines == ["x     y", "日本  1", "e\u0301     2"]


@given(st.lists(st.lists(st.text(max_size=40), min_size=3, max_size=3), max_size=4), st.integers(0, 200) | st.none())
def test_no_cell_can_forge_a_line_or_move_the_cursor(rows: list[list[str]], width: int | None) -> None:
    lines = table_lines(COLUMNS, rows, plain, width)

    assert len(lines) == len(rows) + 1
    assert all(line.isprintable() for line in lines)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_the_table_fits_and_has_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", out := Terminal())
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((30, 24)))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    print_table(COLUMNS, ROWS)

    assert out.getvalue().splitlines()[0] == "\x1b[1mname\x1b[0m    \x1b[1mage\x1b[0m  \x1b[1mtext\x1b[0m"
    assert out.getvalue().splitlines()[2] == "longer    5  a text of thirty…"


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", out := Terminal())
    monkeypatch.setenv("NO_COLOR", "1")
    print_table(COLUMNS, ROWS)

    assert "\x1b" not in out.getvalue()


def test_a_pipe_gets_the_whole_text(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    print_table(COLUMNS, ROWS)

    assert "thirty-six characters, here" in capsys.readouterr().out
