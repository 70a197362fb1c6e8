"""Starting HTTP/2 on a stream: hand-over or pump, and the stream is closed on failure. On loopback."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar

import pytest
import trustme
from anyio.abc import ByteStream
from anyio.streams.tls import TLSStream
from grpclib.server import Server

from tests.services.tls_peers import NAME, Peer, serving, trusting
from ziggurat.services import (
    ConnectError,
    Http2Error,
    ObservedStream,
    TcpConnector,
    TlsError,
    TlsStream,
    TransportStream,
    Uri,
    WrappedStream,
)
from ziggurat.services.channel.client_protocol import ClientProtocol
from ziggurat.services.channel.options import ConnectionOptions
from ziggurat.services.channel.start_http2 import start_http2
from ziggurat.services.stream_transport import StreamTransport

pytestmark = [pytest.mark.real_io, pytest.mark.asyncio_only]

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
SETTINGS = b"\0\0\0\4\0\0\0\0\0"


@asynccontextmanager
async def grpclib_server() -> AsyncIterator[Uri]:
    server = Server([])
    await server.start("127.0.0.1", 0)
    assert server._server is not None
    port = server._server.sockets[0].getsockname()[1]
    try:
        yield Uri.parse(f"http://127.0.0.1:{port}")
    finally:
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def scripted(talk: Talk) -> AsyncIterator[Uri]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        finally:
            writer.close()
            try:
                await writer.wait_closed()
            except OSError:
                pass

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield Uri.parse(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")


async def started(stream: ByteStream, changes: list[str] | None = None) -> ClientProtocol:
    told = [] if changes is None else changes
    return await start_http2(stream, ConnectionOptions(), on_change=lambda: told.append("changed"))


async def test_our_own_stream_is_handed_over_and_reports_its_end_once() -> None:
    async with grpclib_server() as uri:
        stream = await TcpConnector()(uri)
        assert type(stream) is TransportStream
        ends: list[str] = []
        stream.on_close(lambda: ends.append("closed"))
        changes: list[str] = []
        protocol = await started(stream, changes)
        assert not isinstance(protocol._transport, StreamTransport)
        assert protocol.settings_received
        assert ends == []
        await stream.aclose()  # already handed over: no effect
        assert protocol.accepting
        await protocol.aclose()
        assert ends == ["closed"]
        assert changes != []


async def test_any_other_stream_is_pumped_even_if_it_wraps_ours() -> None:
    class Subclass(TransportStream):
        """A subclass, which might override something."""

    async with grpclib_server() as uri:
        bare = await TcpConnector()(uri)
        for stream in (WrappedStream(bare), await subclassed(uri, Subclass)):
            ends: list[str] = []
            stream.on_close(lambda ends=ends: ends.append("closed"))  # type: ignore[misc]
            protocol = await started(stream)
            assert isinstance(protocol._transport, StreamTransport)
            await protocol.aclose()
            assert ends == ["closed"]


@pytest.mark.parametrize("pumped", [False, True])
async def test_an_alert_that_refuses_our_certificate_is_a_tls_error_that_does_not_pass(pumped: bool) -> None:
    """Under TLS 1.3 it comes after the client's handshake."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(serving(authority=trustme.CA()))
        while data := await reader.read(65536):
            writer.write(peer.feed(data))

    async with scripted(talk) as uri:
        stream = await TcpConnector()(uri)
        assert type(stream) is TransportStream
        secured = (
            await TLSStream.wrap(stream, hostname=NAME, ssl_context=trusting(), standard_compatible=False)
            if pumped
            else await TlsStream.wrap(stream, trusting(), NAME)
        )
        with pytest.raises(TlsError, match="the TLS alert 'certificate required' after the handshake") as caught:
            await started(secured)
        assert not caught.value.transient
        assert caught.value.hint == "it requires a client certificate: pass one as client_cert="
        assert isinstance(caught.value.__cause__, ssl.SSLError)


async def subclassed(uri: Uri, kind: type[TransportStream]) -> ObservedStream:
    stream = await TcpConnector()(uri)
    assert isinstance(stream, TransportStream)
    return kind(stream._transport, stream._protocol)


async def test_data_read_before_the_hand_over_is_not_lost() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"proxy says ok" + SETTINGS)  # in one segment, as proxies do
        await reader.read()

    async with scripted(talk) as uri:
        stream = await TcpConnector()(uri)
        reply = b""
        while len(reply) < 13:
            reply += await stream.receive(13 - len(reply))
        protocol = await started(stream)
        assert protocol.settings_received
        await protocol.aclose()


@pytest.mark.parametrize("secured", [False, True])
async def test_the_stream_knows_the_bytes_after_the_hand_over_and_keeps_them(secured: bool) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"proxy says ok" + SETTINGS)
        await reader.read()

    async def talk_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await writer.start_tls(serving())
        await talk(reader, writer)

    async with scripted(talk_tls if secured else talk) as uri:
        stream = await TcpConnector()(uri)
        if secured:
            assert isinstance(stream, TransportStream)
            stream = await TlsStream.wrap(stream, trusting(), NAME)
        assert isinstance(stream, ObservedStream)
        while stream.bytes_received < 13:
            await stream.receive(13 - stream.bytes_received)
        protocol = await started(stream)
        assert (stream.bytes_sent, stream.bytes_received) == (0, 13)
        assert stream.traffic == (protocol.bytes_sent, 13 + protocol.bytes_received)
        assert protocol.bytes_received == len(SETTINGS)
        await protocol.aclose()

        assert stream.heir is None
        assert stream.traffic == (stream.bytes_sent, stream.bytes_received)
        assert stream.traffic == (protocol.bytes_sent, 13 + protocol.bytes_received)


async def test_a_stream_that_is_already_lost_raises_a_connect_error() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # RST instead of FIN.
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async with scripted(talk) as uri:
        stream = await TcpConnector()(uri)
        assert isinstance(stream, TransportStream)
        gone = asyncio.Event()
        stream.on_close(gone.set)
        await gone.wait()
        with pytest.raises(ConnectError, match="lost") as caught:
            await started(stream)
        assert caught.value.transient
        assert stream.heir is None
        await stream.aclose()


async def test_a_stream_that_another_task_is_reading_is_refused() -> None:
    async with grpclib_server() as uri:
        stream = await TcpConnector()(uri)
        reader = asyncio.create_task(stream.receive())
        # The server's SETTINGS end this receive; the next one waits.
        await reader
        reader = asyncio.create_task(stream.receive())
        await asyncio.sleep(0)
        with pytest.raises(ConnectError, match="in use") as caught:
            await started(stream)
        assert not caught.value.transient
        reader.cancel()
        await asyncio.wait([reader])
        await stream.aclose()


@pytest.mark.parametrize("pumped", [False, True])
async def test_another_protocol_is_recognised_and_closed(pumped: bool) -> None:
    over = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(24)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()
        over.set()

    async with scripted(talk) as uri:
        stream = await TcpConnector()(uri)
        with pytest.raises(Http2Error) as caught:
            await started(WrappedStream(stream) if pumped else stream)
        assert not caught.value.transient
        assert "HTTP/1" in str(caught.value)
        await over.wait()


@pytest.mark.parametrize("pumped", [False, True])
async def test_cancelling_the_wait_for_settings_closes_the_stream(pumped: bool) -> None:
    reached, over = asyncio.Event(), asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(24)
        reached.set()
        try:
            await reader.read()
        except ConnectionResetError:
            pass
        over.set()

    async with scripted(talk) as uri:
        stream = await TcpConnector()(uri)
        assert isinstance(stream, TransportStream)
        ends: list[str] = []
        stream.on_close(lambda: ends.append("closed"))
        waiting = asyncio.create_task(started(WrappedStream(stream) if pumped else stream))
        await reached.wait()
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        assert ends == ["closed"]
        await over.wait()


VARIABLE: ContextVar[str] = ContextVar("VARIABLE", default="clean")


async def test_the_connection_does_not_live_on_in_its_callers_context() -> None:
    hang_up = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(SETTINGS)
        await hang_up.wait()

    async with scripted(talk) as uri:
        stream = await TcpConnector()(uri)
        VARIABLE.set("the caller's")
        seen: list[str] = []
        protocol = await start_http2(stream, ConnectionOptions(), on_change=lambda: seen.append(VARIABLE.get()))
        hang_up.set()
        await protocol.lost.wait()
        assert set(seen) == {"clean"}
