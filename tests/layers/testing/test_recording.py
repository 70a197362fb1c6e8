"""The recording stream keeps the pieces and gives out any size."""

from __future__ import annotations

from ziggurat.layers.testing import stream_pair
from ziggurat.layers.testing.recording import RecordingStream


async def test_pieces_are_remembered_as_they_came_and_read_as_asked() -> None:
    near, far = stream_pair()
    chunks: list[bytes] = []
    stream = RecordingStream(near, chunks)
    await far.send(b"abcdef")
    await far.send(b"gh")

    assert [await stream.receive(4), await stream.receive(4), await stream.receive(4)] == [b"abcd", b"ef", b"gh"]
    assert chunks == [b"abcdef", b"gh"]
    stream.stop()
    await far.send(b"later")
    assert await stream.receive() == b"later"
    assert chunks == [b"abcdef", b"gh"]
