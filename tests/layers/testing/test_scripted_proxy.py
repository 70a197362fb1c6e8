"""The scripted proxy follows its script and records what the client does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio import BrokenResourceError, EndOfStream
from anyio.abc import ByteStream

from ziggurat.layers.testing import EofStream, MemoryStream, ScriptedProxy, stream_pair
from ziggurat.layers.testing.script import RecordingStream
from ziggurat.layers.testing.socks5_messages import Credentials, Request
from ziggurat.services import DialAttribute, Uri

PROXY = Uri.parse("socks5://proxy:1080")
GREETING = b"\5\2\0\2"
CREDENTIALS = b"\1\1u\1p"
REQUEST = b"\5\1\0\3\4host\0\x50"
SUCCESS = b"\5\0\0\1\0\0\0\0\0\0"


@asynccontextmanager
async def connected(proxy: ScriptedProxy) -> AsyncIterator[ByteStream]:
    async with proxy:
        stream = await proxy.connector()(PROXY)
        try:
            yield stream
        finally:
            await anyio.aclose_forcefully(stream)


async def exactly(stream: ByteStream, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += await stream.receive(size - len(data))
    return data


async def rest_of(stream: ByteStream) -> bytes:
    data = b""
    try:
        while True:
            data += await stream.receive()
    except EndOfStream:
        return data


async def test_a_plain_script_opens_a_tunnel_that_echoes_and_everything_is_recorded() -> None:
    proxy = ScriptedProxy()
    async with connected(proxy) as stream:
        await stream.send(GREETING)
        assert await stream.receive() == b"\5\2"
        await stream.send(CREDENTIALS[:2])
        await stream.send(CREDENTIALS[2:])
        assert await stream.receive() == b"\1\0"
        await stream.send(REQUEST)
        assert await stream.receive() == SUCCESS
        await stream.send(b"ping")
        assert await stream.receive() == b"ping"
        (session,) = proxy.sessions
        assert not session.ended

    assert session.methods == (0, 2)
    assert session.credentials == Credentials(b"u", b"p")
    assert session.request == Request(1, 3, "host", 80)
    assert session.chunks == [GREETING, CREDENTIALS[:2], CREDENTIALS[2:], REQUEST]
    assert session.received == GREETING + CREDENTIALS + REQUEST
    assert session.uri == PROXY
    assert session.ended
    assert repr(proxy) == "ScriptedProxy(1 sessions)"


async def test_a_client_may_pipeline_everything() -> None:
    async with connected(ScriptedProxy(method=0)) as stream:
        await stream.send(b"\5\1\0" + REQUEST + b"early data")
        assert await exactly(stream, 2 + 10 + 10) == b"\5\0" + SUCCESS + b"early data"


@pytest.mark.parametrize(
    ("proxy", "says"),
    [
        (ScriptedProxy(method=0xFF), b"\5\xff"),
        (ScriptedProxy(method=b"HTTP/1.1 400 Bad Request\r\n\r\n"), b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        (ScriptedProxy(method=2, auth=1), b"\5\2\1\1"),
        (ScriptedProxy(method=2, auth=b"\5\1"), b"\5\2\5\1"),
        (ScriptedProxy(method=2, reply=0xF0, bound=("::", 1)), b"\5\2\1\0\5\xf0\0\4" + bytes(16) + b"\0\1"),
        (ScriptedProxy(method=2, reply=b"\5\4\0"), b"\5\2\1\0\5\4\0"),
        (ScriptedProxy(method=2, reply=5, bound=("a.b", 1)), b"\5\2\1\0\5\5\0\3\3a.b\0\1"),
    ],
)
async def test_it_refuses_in_any_way_and_hangs_up(proxy: ScriptedProxy, says: bytes) -> None:
    async with connected(proxy) as stream:
        await stream.send(GREETING + CREDENTIALS + REQUEST)
        assert await rest_of(stream) == says


async def test_without_an_offered_method_it_chooses_none() -> None:
    async with connected(ScriptedProxy()) as stream:
        await stream.send(b"\5\0")
        assert await rest_of(stream) == b"\5\xff"
    async with connected(ScriptedProxy()) as stream:
        await stream.send(b"\5\1\0")
        assert await stream.receive() == b"\5\0"


async def test_early_bytes_come_in_the_same_write_as_the_reply() -> None:
    async with connected(ScriptedProxy(method=0, early=b"hello")) as stream:
        await stream.send(b"\5\1\0" + REQUEST)
        assert await stream.receive() == b"\5\0"
        assert await stream.receive() == SUCCESS + b"hello"


async def test_split_and_delay_apply_to_every_write() -> None:
    async with connected(ScriptedProxy(method=0, split=3, delay=0.5)) as stream:
        await stream.send(b"\5\1\0" + REQUEST)
        start = anyio.current_time()
        pieces = [await stream.receive() for _ in range(5)]
        assert pieces == [b"\5\0", SUCCESS[:3], SUCCESS[3:6], SUCCESS[6:9], SUCCESS[9:]]
        assert anyio.current_time() - start == pytest.approx(2.5)


@pytest.mark.parametrize("cut", range(14))
async def test_it_can_be_cut_at_every_byte(cut: int) -> None:
    everything = b"\5\2" + b"\1\0" + SUCCESS
    async with connected(ScriptedProxy(cut=cut)) as stream:
        await stream.send(GREETING + CREDENTIALS + REQUEST)
        assert await rest_of(stream) == everything[:cut]
    async with connected(ScriptedProxy(cut=cut, cut_with="stall")) as stream:
        await stream.send(GREETING + CREDENTIALS + REQUEST)
        assert await exactly(stream, cut) == everything[:cut]
        with anyio.move_on_after(1000) as scope:
            await stream.receive()
        assert scope.cancelled_caught
    async with connected(ScriptedProxy(cut=cut, cut_with="reset")) as stream:
        await stream.send(GREETING + CREDENTIALS + REQUEST)
        with pytest.raises(BrokenResourceError):
            await exactly(stream, 1000)


async def test_a_client_that_leaves_or_sends_garbage_is_recorded() -> None:
    proxy = ScriptedProxy()
    async with connected(proxy) as stream:
        await stream.send(b"\5")
        await stream.aclose()
        await anyio.wait_all_tasks_blocked()
    async with connected(proxy) as stream:
        await stream.send(b"GET / HTTP/1.1")
        assert await rest_of(stream) == b""

    assert isinstance(proxy.sessions[0].error, EndOfStream)
    assert "begins with 0x47" in str(proxy.sessions[1].error)
    assert proxy.sessions[1].request is None


async def test_the_target_can_be_scripted() -> None:
    async def target(stream: ByteStream) -> None:
        await stream.send((await stream.receive()).upper())

    async with connected(ScriptedProxy(method=0, target=target)) as stream:
        await stream.send(b"\5\1\0" + REQUEST)
        await exactly(stream, 12)
        await stream.send(b"ping")
        assert await rest_of(stream) == b"PING"


async def test_errors_of_the_target_propagate() -> None:
    async def target(stream: ByteStream) -> None:
        raise ValueError("the target's own")

    async def dial() -> None:
        async with connected(ScriptedProxy(method=0, target=target)) as stream:
            await stream.send(b"\5\1\0" + REQUEST)
            await anyio.sleep(1)

    with pytest.raises(ExceptionGroup) as caught:
        await dial()
    assert "the target's own" in repr(caught.value)


async def test_its_stream_carries_a_ledger() -> None:
    async with connected(ScriptedProxy()) as stream:
        assert stream.extra(DialAttribute.ledger).target == PROXY


async def test_its_connector_works_only_inside_async_with() -> None:
    with pytest.raises(RuntimeError, match="connector inside `async with proxy:`"):
        await ScriptedProxy().connector()(PROXY)


async def test_a_reset_needs_a_stream_that_can_be_reset() -> None:
    near, far = stream_pair()
    await near.send(GREETING)
    with pytest.raises(TypeError, match="cut_with='reset' works in memory"):
        await ScriptedProxy(cut=0, cut_with="reset").handle(EofStream(far, 100))
    assert isinstance(far, MemoryStream)
    assert far.closed


def test_wrong_arguments_are_refused() -> None:
    for arguments, message in (
        ({"split": 0}, r"split must be a whole number of bytes \(at least 1\) or None, not 0"),
        ({"cut": -1}, r"cut must be a whole number of bytes \(at least 0\) or None, not -1"),
        ({"delay": -1.0}, "delay must be 0 or a positive number of seconds, not -1.0"),
        ({"cut_with": "bang"}, "cut_with must be 'eof', 'reset' or 'stall', not 'bang'"),
        ({"reply": 256}, r"code must be a whole number \(0 to 255\), not 256"),
    ):
        with pytest.raises(ValueError, match=message):
            ScriptedProxy(**arguments)  # type: ignore[arg-type]


async def test_chunks_are_recorded_as_received_and_returned_as_requested() -> None:
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


@pytest.mark.real_io
@pytest.mark.parametrize("cut_with", ["eof", "reset"])
async def test_on_a_socket_it_is_cut_with_eof_or_with_a_real_reset(cut_with: str) -> None:
    proxy = ScriptedProxy(method=0, cut=5, cut_with=cut_with)  # type: ignore[arg-type]
    async with proxy.serve() as uri, await anyio.connect_tcp(uri.host, uri.port) as stream:
        await stream.send(b"\5\1\0" + REQUEST)
        if cut_with == "eof":
            with pytest.raises(EndOfStream):
                await exactly(stream, 6)
        else:
            with pytest.raises(BrokenResourceError) as caught:
                await exactly(stream, 6)
            assert isinstance(caught.value.__cause__, ConnectionResetError)


@pytest.mark.real_io
async def test_on_a_socket_it_opens_a_tunnel() -> None:
    proxy = ScriptedProxy(early=b"early", split=2)
    async with proxy.serve() as uri:
        assert uri.scheme == "socks5"
        async with await anyio.connect_tcp(uri.host, uri.port) as stream:
            await stream.send(GREETING + CREDENTIALS + REQUEST)
            assert await exactly(stream, 19) == b"\5\2\1\0" + SUCCESS + b"early"
            await stream.send(b"x" * 1_000_000)
            assert await exactly(stream, 1_000_000) == b"x" * 1_000_000
    assert proxy.sessions[0].credentials == Credentials(b"u", b"p")
