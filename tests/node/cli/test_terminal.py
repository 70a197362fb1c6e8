"""Colour is for terminals, and NO_COLOR is respected."""

from __future__ import annotations

import io
import os
import sys
import threading
from pathlib import Path

import pytest

from ziggurat.node.cli.terminal import (
    BLOCK,
    OutputError,
    flush_streams,
    indented,
    open_streams,
    paint_for,
    print_error,
    print_lines,
    unbuffered,
)


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
    assert sys.stdout.name == sys.stderr.name == os.devnull
    sys.stdout.close()
    sys.stderr.close()


def test_an_unbuffered_writer_passes_the_streams_buffer_and_keeps_its_encoding() -> None:
    reading, writing = os.pipe()
    with open(reading, "rb") as read, open(writing, "w", encoding="latin-1", errors="replace") as stream:
        write = unbuffered(stream)
        stream.write("buffered")
        write("\u00e9\u2588\n")
        assert os.read(reading, 100) == b"\xe9?\n"
    read.close()


def test_a_pipe_that_another_program_made_non_blocking_gets_the_whole_text() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    got = bytearray()

    def read() -> None:
        while len(got) < 300_000:
            got.extend(os.read(reading, 10_000))

    reader = threading.Thread(target=read)
    with open(reading, "rb"), open(writing, "w") as stream:
        reader.start()
        unbuffered(stream)("x" * 300_000)
        reader.join()

    assert len(got) == 300_000


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux")
def test_a_full_disk_is_told_to_who_prints_a_result_and_to_nobody_who_prints_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, open("/dev/full", "w"))  # noqa: SIM115
    with pytest.raises(OutputError, match="No space left on device") as caught:
        print_lines("one")
    print_error("two")
    sys.stdout.close()  # nothing is left that Python would have to write at its end
    sys.stderr.close()

    assert caught.value.reason == "No space left on device"


def test_a_reader_that_is_gone_is_no_reason_to_complain(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    monkeypatch.setattr(sys, "stdout", open(writing, "w"))  # noqa: SIM115
    sys.stdout.write("buffered")
    with pytest.raises(OutputError) as caught:
        flush_streams()
    sys.stdout.close()

    assert caught.value.reason is None
