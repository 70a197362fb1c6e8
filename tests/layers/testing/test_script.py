"""What the scripted proxies share: the manner of speaking, and the recording stream."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from anyio import BrokenResourceError, EndOfStream
from anyio.abc import ByteStream

from ziggurat.layers.testing import SplitStream, stream_pair
from ziggurat.layers.testing.script import CutError, Manner, RecordingStream, Script
from ziggurat.services import Uri


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ((0, 0.0, None, "eof"), "split"),
        ((None, -1.0, None, "eof"), "delay"),
        ((None, 0.0, -1, "eof"), "cut"),
        ((None, 0.0, None, "bang"), "cut_with must be 'eof', 'reset' or 'stall', not 'bang'"),
    ],
)
def test_a_wrong_manner_is_refused(wrong: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Manner(*wrong)


async def test_a_script_speaks_in_pieces_with_delays_up_to_the_cut() -> None:
    near, far = stream_pair()
    client = RecordingStream(near, [])
    script = Script(client, Manner(2, 1.0, 5, "eof"))
    before = anyio.current_time()

    await script.say(b"abc")
    with pytest.raises(CutError):
        await script.say(b"defg")

    assert anyio.current_time() - before == pytest.approx(3.0)
    assert [await far.receive() for _ in range(3)] == [b"ab", b"c", b"de"]


@pytest.mark.parametrize(("how", "error"), [("eof", EndOfStream), ("reset", BrokenResourceError)])
async def test_the_end_at_the_cut(how: Any, error: type[Exception]) -> None:
    near, far = stream_pair()
    async with anyio.create_task_group() as group:
        group.start_soon(Manner(None, 0.0, 0, how).end, near, RecordingStream(near, []))
        with pytest.raises(error):
            await far.receive()
        await far.aclose()


async def test_a_stall_stays_open_and_silent() -> None:
    near, far = stream_pair()
    async with anyio.create_task_group() as group:
        group.start_soon(Manner(None, 0.0, 0, "stall").end, near, RecordingStream(near, []))
        with anyio.move_on_after(60.0) as scope:
            await far.receive()
        await far.aclose()

    assert scope.cancelled_caught


async def test_a_reset_needs_a_stream_that_can() -> None:
    foreign = SplitStream(stream_pair()[0], 1)
    with pytest.raises(TypeError, match="works in memory and on serve"):
        await Manner(None, 0.0, 0, "reset").end(foreign, RecordingStream(foreign, []))


async def test_recording_keeps_chunks_and_stops() -> None:
    near, far = stream_pair()
    chunks: list[bytes] = []
    recording: ByteStream = RecordingStream(near, chunks)
    await far.send(b"abc")
    await far.send(b"d")

    assert [await recording.receive(2), await recording.receive(2), await recording.receive(2)] == [b"ab", b"c", b"d"]
    assert isinstance(recording, RecordingStream)
    recording.put_back(b"xy")
    assert await recording.receive(1) == b"x"
    assert await recording.receive() == b"y"
    recording.stop()
    await far.send(b"e")
    assert await recording.receive() == b"e"
    assert chunks == [b"abc", b"d"]


async def test_a_connector_outside_of_its_block_says_so() -> None:
    from ziggurat.layers.testing import ScriptedHttpProxy

    with pytest.raises(RuntimeError, match="inside `async with proxy:`"):
        await ScriptedHttpProxy().connector()(Uri("http", "h", 80))
