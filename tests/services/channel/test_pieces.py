"""What was read is kept as views, copied once, and never kept for a small part of it."""

from __future__ import annotations

import pytest

from ziggurat.services.channel.pieces import COLLECTED, SMALL, VIEW, Pieces

FRAME = 16_384
STRIDE = FRAME + 9


class Kept(Pieces):
    """Pieces that nobody counts; ``settles`` says how often they asked to be settled."""

    def __init__(self) -> None:
        super().__init__()
        self.settles = 0

    def _settle_later(self) -> None:
        self.settles += 1

    def add(self, data: bytes, start: int, end: int) -> None:
        self._append(data, start, end)
        self._size += end - start

    def add_run(self, data: bytes, start: int, length: int, stride: int, count: int) -> None:
        self._append_run(data, start, length, stride, count)
        self._size += length * count

    def take(self, size: int, skip: int = 0) -> bytes:
        self._size -= size
        return self._take_pieces(size, skip)

    @property
    def owned(self) -> int:
        """Bytes of memory that all of it keeps."""
        kept = {id(piece.obj): len(piece.obj) for piece in self._more if isinstance(piece, memoryview)}
        kept |= {id(piece): len(piece) for piece in [self._chunk, *self._more] if not isinstance(piece, memoryview)}
        return sum(kept.values())


def read_of(count: int) -> bytes:
    """Return so many frames, whose bytes tell which they are."""
    return b"".join(bytes(9) + bytes([number]) * FRAME for number in range(count))


def test_small_pieces_are_put_together() -> None:
    pieces, body = Kept(), bytes(range(256)) * 400
    for position in range(0, len(body), 2):
        pieces.add(body, position, position + 2)

    assert len(pieces._more) < len(body) / COLLECTED + 2
    assert pieces.take(len(body)) == body


def test_the_frames_of_a_read_are_not_copied_before_they_are_taken() -> None:
    pieces, read = Kept(), read_of(16)
    pieces.add_run(read, 9, FRAME, STRIDE, 16)
    pieces.settle()

    assert pieces._chunk is read
    assert all(isinstance(piece, memoryview) and piece.obj is read for piece in pieces._more)
    assert pieces.settles == 1
    assert pieces.take(16 * FRAME, 5) == b"".join(bytes([number]) * FRAME for number in range(16))[5:]


@pytest.mark.parametrize("frames", [3, 4, 5])
@pytest.mark.parametrize("empty", [True, False])
def test_a_read_is_kept_for_a_quarter_of_it_and_no_less(frames: int, empty: bool) -> None:
    pieces, read = Kept(), read_of(16)
    if not empty:
        pieces.add(b"before", 0, 6)
    for number in range(frames):
        start = 9 + number * STRIDE
        pieces.add(read, start, start + FRAME)
    expected = (b"" if empty else b"before") + b"".join(bytes([number]) * FRAME for number in range(frames))
    assert pieces.settles == 1
    pieces.settle()

    assert (pieces.owned < len(read)) == (frames < 5)
    assert pieces.take(len(expected)) == expected


def test_of_two_reads_only_the_one_with_a_small_part_is_copied() -> None:
    pieces, first, second = Kept(), read_of(2), read_of(16)
    pieces.add_run(first, 9, FRAME, STRIDE, 2)
    pieces.settle()
    pieces.add(second, 9, 9 + FRAME)
    pieces.add(second, 9 + FRAME, 9 + FRAME + SMALL)  # between views, and copied at once
    pieces.add(second, 9 + 2 * STRIDE, 9 + 2 * STRIDE + VIEW)
    pieces.settle()

    assert pieces._chunk is first
    assert [type(piece) for piece in pieces._more] == [memoryview, bytes, bytes, bytes]
    assert pieces.owned == len(first) + FRAME + SMALL + VIEW


def test_small_frames_of_a_run_are_put_together() -> None:
    pieces = Kept()
    pieces.add_run(bytes(9) * 10 + bytes(1000), 9, 20, 29, 30)

    assert pieces._size == 600
    assert len(pieces._more) == 1
    assert pieces.settles == 0
