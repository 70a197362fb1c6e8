"""Colour is for terminals, and NO_COLOR is respected."""

from __future__ import annotations

import io
import sys

import pytest

from ziggurat.node.cli.terminal import BLOCK, indented, open_streams, paint_for, print_error, print_lines


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")


def test_a_terminal_gets_colour() -> None:
    assert paint_for(Terminal())("red", "x") == "\x1b[31mx\x1b[0m"


def test_a_long_text_is_indented_in_lines_of_80_columns() -> None:
    lines = indented("Socks5Layer(" + "connect_timeout=None, " * 9 + "x)")

    assert max(map(len, lines)) <= 80
    assert [len(line) - len(line.lstrip()) for line in lines] == [2, 6, 6]


def test_a_pipe_gets_no_colour() -> None:
    assert paint_for(io.StringIO())("red", "x") == "x"


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_no_color_and_a_dumb_terminal_switch_colour_off(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    assert paint_for(Terminal())("red", "x") == "x"


def test_an_empty_no_color_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "")
    assert paint_for(Terminal())("red", "x") != "x"


def test_characters_outside_the_encoding_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding="ascii"))
    open_streams()
    print_lines(f"{BLOCK}{BLOCK} \u00e9")
    assert out.getvalue() == b"## ?\n"


def test_closed_streams_accept_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    open_streams()
    print_lines("one")
    print_error("two")
    sys.stdout.close()
    sys.stderr.close()
