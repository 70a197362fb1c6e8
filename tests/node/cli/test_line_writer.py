"""Lines are written by a thread, in order; what is missing is counted where it is missing."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ziggurat.node.cli import line_writer
from ziggurat.node.cli.line_writer import LineWriter


class Reader:
    """A sink that takes a line only when it is told to."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._permits = threading.Semaphore(0)
        self._taken = threading.Semaphore(0)

    def __call__(self, line: str) -> None:
        self._permits.acquire()
        self.lines.append(line)
        self._taken.release()

    def take(self) -> None:
        """Take one line, and wait for it if there is none yet."""
        self._permits.release()
        assert self._taken.acquire(timeout=10)

    def take_all(self) -> None:
        self._permits.release(100_000)

    @property
    def told(self) -> int:
        """The number of lines that were written or counted; checks that each is at its place."""
        told = 0
        for line in self.lines:
            assert line.startswith("dropped ") or int(line) == told
            told += int(line.split()[1]) if line.startswith("dropped ") else 1
        return told


def dropped(count: int) -> str:
    return f"dropped {count}"


@pytest.fixture(autouse=True)
def _small_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_writer, "CAPACITY", 4)


def test_the_end_waits_until_all_lines_are_written_in_order() -> None:
    lines: list[str] = []
    writer = LineWriter(lines.append, dropped, "writer")
    for number in range(4):
        writer.write(str(number))

    assert writer.close()
    assert lines == ["0\n", "1\n", "2\n", "3\n"]


def test_lines_beyond_the_capacity_are_counted_in_one_line_at_their_place() -> None:
    reader = Reader()
    writer = LineWriter(reader, dropped, "writer")
    writer.write("0")
    reader.take()
    writer.write("1")
    writer.write("2")
    reader.take()  # now "2" is on its way, or will be the next
    for number in range(3, 10):
        writer.write(str(number))
    reader.take()
    writer.write("10")  # there is room, but the line would come before the count
    reader.take_all()

    assert writer.close()
    assert reader.told == 11
    assert len([line for line in reader.lines if line.startswith("dropped")]) == 1


def test_a_reader_that_never_reads_delays_neither_the_program_nor_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_writer, "STALLED", 0.001)
    reader = Reader()
    writer = LineWriter(reader, dropped, "writer")
    for _ in range(20_000):
        writer.write("x")

    assert not writer.close()
    reader.take_all()


def test_lines_that_the_sink_refuses_are_counted_and_reported_once_it_works_again() -> None:
    full = True
    lines: list[str] = []

    def disk(line: str) -> None:
        if full:
            raise OSError(28, "No space left on device")
        lines.append(line)

    def free() -> None:
        nonlocal full
        full = False

    writer = LineWriter(disk, dropped, "writer")
    writer.write("1")
    writer.write("2")
    writer.call(free)
    writer.write("3")

    assert writer.close()
    assert lines == ["dropped 2\n", "3\n"]


def test_lines_after_the_end_are_discarded() -> None:
    lines: list[str] = []
    writer = LineWriter(lines.append, dropped, "writer")
    writer.close()
    writer.write("late")
    writer.call(lambda: lines.append("late"))

    assert lines == []


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=6))
def test_whatever_the_reader_does_each_line_is_written_or_counted(steps: list[tuple[int, int]]) -> None:
    reader = Reader()
    writer = LineWriter(reader, dropped, "writer")
    sent = 0
    for writes, takes in steps:
        for _ in range(writes):
            writer.write(str(sent))
            sent += 1
        for _ in range(takes):
            if reader.told < sent:
                reader.take()
    reader.take_all()

    assert writer.close()
    assert reader.told == sent
