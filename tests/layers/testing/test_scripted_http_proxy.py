"""The scripted HTTP proxy follows its script and records what the client does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import h11
import pytest
from anyio import EndOfStream
from anyio.abc import ByteStream

from ziggurat.layers import HttpConnectLayer
from ziggurat.layers.testing import HttpReply, HttpRequest, ScriptedHttpProxy
from ziggurat.services import TcpConnector, Uri

PROXY = Uri.parse("http://proxy:3128")
REQUEST = b"CONNECT host:80 HTTP/1.1\r\nHost: host:80\r\nX-A: \xfc\r\n\r\n"
RECORD = HttpRequest("CONNECT", "host:80", (("host", "host:80"), ("x-a", "\xfc")))


@asynccontextmanager
async def connected(proxy: ScriptedHttpProxy) -> AsyncIterator[ByteStream]:
    async with proxy:
        stream = await proxy.connector()(PROXY)
        try:
            yield stream
        finally:
            await anyio.aclose_forcefully(stream)


async def rest_of(stream: ByteStream) -> bytes:
    data = b""
    try:
        while True:
            data += await stream.receive()
    except EndOfStream:
        return data


async def test_a_plain_script_opens_a_tunnel_that_echoes_and_everything_is_recorded() -> None:
    proxy = ScriptedHttpProxy()
    async with connected(proxy) as stream:
        await stream.send(REQUEST[:10])
        await stream.send(REQUEST[10:] + b"early")
        assert await stream.receive() == b"HTTP/1.1 200 Connection established\r\n\r\n"
        assert await stream.receive() == b"early"
        (session,) = proxy.sessions
        assert not session.ended

    assert session.requests == [RECORD]
    assert (RECORD.header("X-A"), RECORD.header("y")) == ("\xfc", None)
    assert session.chunks == [REQUEST[:10], REQUEST[10:] + b"early"]
    assert session.uri == PROXY
    assert session.ended
    assert isinstance(session.error, EndOfStream)  # of the client, in the tunnel
    assert repr(proxy) == "ScriptedHttpProxy(1 sessions)"


@pytest.mark.parametrize(
    ("reply", "data"),
    [
        (HttpReply(200, ""), b"HTTP/1.1 200\r\n\r\n"),
        (HttpReply(403, "No", body=b"abc"), b"HTTP/1.1 403 No\r\nContent-Length: 3\r\n\r\nabc"),
        (HttpReply(403, "No", [("content-length", "9")], b"abc"), b"HTTP/1.1 403 No\r\ncontent-length: 9\r\n\r\nabc"),
        (
            HttpReply(407, "No", [("A", "b"), ("A", "c")], version="1.0", before=b"HTTP/1.1 100 C\r\n\r\n"),
            b"HTTP/1.1 100 C\r\n\r\nHTTP/1.0 407 No\r\nA: b\r\nA: c\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            HttpReply(503, "x", [("Transfer-Encoding", "chunked")]),
            b"HTTP/1.1 503 x\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
    ],
)
def test_a_reply_is_encoded_as_it_is(reply: HttpReply, data: bytes) -> None:
    assert reply.encode() == data


async def test_each_request_gets_the_next_answer_and_the_last_one_ends_the_connection() -> None:
    proxy = ScriptedHttpProxy(HttpReply(407, "A"), HttpReply(407, "B"), early=b"not for a refusal")
    async with connected(proxy) as stream:
        await stream.send(REQUEST)
        assert await stream.receive() == b"HTTP/1.1 407 A\r\nContent-Length: 0\r\n\r\n"
        await stream.send(REQUEST)
        assert await rest_of(stream) == b"HTTP/1.1 407 B\r\nContent-Length: 0\r\n\r\n"

    assert proxy.sessions[0].requests == [RECORD, RECORD]


async def test_an_answer_may_end_the_connection_earlier() -> None:
    async with connected(ScriptedHttpProxy(HttpReply(407, close=True), HttpReply())) as stream:
        await stream.send(REQUEST)
        assert (await rest_of(stream)).startswith(b"HTTP/1.1 407")


@pytest.mark.parametrize(("raw", "opens"), [(b"HTTP/1.1 299 X\r\n\r\n", True), (b"HTTP/1.1 500 X\r\n\r\n", False)])
async def test_raw_bytes_are_sent_as_they_are(raw: bytes, opens: bool) -> None:
    async with connected(ScriptedHttpProxy(raw, early=b"early", split=4)) as stream:
        await stream.send(REQUEST)
        if opens:
            await stream.send_eof()
        assert await rest_of(stream) == raw + (b"early" if opens else b"")


async def test_what_is_no_request_is_recorded() -> None:
    proxy = ScriptedHttpProxy()
    async with connected(proxy) as stream:
        await stream.send(b"\x05\x01\x00")
        with pytest.raises(EndOfStream):
            await stream.receive()

    assert isinstance(proxy.sessions[0].error, h11.RemoteProtocolError)
    assert proxy.sessions[0].requests == []


@pytest.mark.real_io
@pytest.mark.parametrize("settings", [{}, {"split": 1}])
async def test_on_a_socket(settings: dict[str, Any]) -> None:
    async with ScriptedHttpProxy(early=b"early", **settings).serve() as uri:
        stream = await HttpConnectLayer(uri).layer(TcpConnector())(Uri("http", "nowhere.example", 80))
        data = b""
        while len(data) < 5:
            data += await stream.receive()
        assert data == b"early"
        await stream.aclose()
