"""The channel on real sockets, once for each path into HTTP/2: hand-over and pump, in clear text and over TLS."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trustme
from anyio.abc import ByteStream
from google.protobuf.wrappers_pb2 import BytesValue
from grpclib.exceptions import GRPCError, StreamTerminatedError
from grpclib.server import Server

from ziggurat.layers.tls import TlsLayer
from ziggurat.services import (
    ChannelClosed,
    ChannelState,
    DialAttribute,
    Endpoint,
    TcpConnector,
    TlsError,
    UnixConnector,
    Uri,
    WrappedStream,
)
from ziggurat.services.service import Connector
from ziggurat.services.stream_transport import StreamTransport
from ziggurat.services.tls_transport import TlsTransport

pytestmark = [pytest.mark.real_io, pytest.mark.asyncio_only]

MIB = 2**20

AUTHORITY = trustme.CA()


class Served:
    """A grpclib server on loopback, and a connector to it."""

    def __init__(self, service: Any, way: str) -> None:
        self.service = service
        self.way = way
        self.server = Server([service])
        self.protocols: list[Any] = []
        self.port = 0
        factory = self.server._protocol_factory

        def remember() -> Any:
            self.protocols.append(factory())
            return self.protocols[-1]

        self.server._protocol_factory = remember  # type: ignore[method-assign]

    @property
    def secure(self) -> bool:
        return "tls" in self.way

    async def start(self) -> None:
        context = None
        if self.secure:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.set_alpn_protocols(["h2"])
            AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)
        await self.server.start("127.0.0.1", self.port, ssl=context)
        assert self.server._server is not None
        self.port = self.server._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self.server.close()
        for protocol in self.protocols:
            if hasattr(protocol.connection, "_transport"):
                protocol.connection._transport.abort()
        await self.server.wait_closed()

    def cut(self) -> None:
        """Abort every connection, as if a cable were pulled."""
        for protocol in self.protocols:
            if hasattr(protocol.connection, "_transport"):
                protocol.connection._transport.abort()

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(f"{'https' if self.secure else 'http'}://127.0.0.1:{self.port}")

    @property
    def connector(self) -> Connector:
        leaf = pump if "pump" in self.way else TcpConnector()
        return over_tls(leaf) if self.secure else leaf


async def pump(uri: Uri) -> ByteStream:
    return WrappedStream(await TcpConnector()(uri))


def over_tls(leaf: Connector) -> Connector:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["h2"])
    AUTHORITY.configure_trust(context)
    return TlsLayer(context).layer(leaf)


TRANSPORTS = {"tls": TlsTransport, "pump": StreamTransport, "pumped tls": StreamTransport}


@pytest.fixture(params=["hand-over", *TRANSPORTS])
async def served(request: pytest.FixtureRequest, echo_service: Any, anyio_backend: object) -> AsyncIterator[Served]:
    served = Served(echo_service(), request.param)
    await served.start()
    yield served
    await served.stop()


async def test_small_large_and_concurrent_calls(served: Served, say: Any) -> None:
    streams: list[Any] = []

    async def watch(uri: Uri) -> ByteStream:
        streams.append(await served.connector(uri))
        return streams[-1]  # type: ignore[no-any-return]

    async with served.endpoint.connect(watch) as channel:
        protocol = await channel.__connect__()
        transport = protocol._transport
        assert (
            type(transport) is TRANSPORTS[served.way]
            if served.way in TRANSPORTS
            else transport is streams[0]._transport
        )
        assert await say(channel) == b"hello"
        large = bytes(range(256)) * (4 * MIB // 256)
        assert await say(channel, large) == large
        assert await asyncio.gather(*(say(channel, b"%d" % n) for n in range(50))) == [b"%d" % n for n in range(50)]
        assert len(served.protocols) == 1
        peer = protocol.peer
        assert peer.addr() == ("127.0.0.1", served.port)
        assert (peer.cert() is not None) is served.secure


async def test_a_stream_of_messages_both_ways(served: Served, make_stub: Any) -> None:
    async with (
        served.endpoint.connect(served.connector) as channel,
        make_stub(channel).talk.open(timeout=60.0) as stream,
    ):
        for number in range(20):
            await stream.send_message(BytesValue(value=b"x" * 10_000 * number))
            reply = await stream.recv_message()
            assert len(reply.value) == 10_000 * number
        await stream.end()
        assert await stream.recv_message() is None


async def test_a_lost_connection_fails_the_call_in_flight_and_the_next_call_redials(
    served: Served, say: Any, make_stub: Any
) -> None:
    async with served.endpoint.connect(served.connector) as channel:
        held = asyncio.create_task(make_stub(channel).hold(BytesValue(value=b"x")))
        await served.service.holding.wait()
        served.cut()
        with pytest.raises(StreamTerminatedError):
            await held
        await channel.wait_for_state(ChannelState.IDLE)
        assert channel._reconnect.open == ()
        assert await say(channel) == b"hello"
        assert channel.state is ChannelState.READY


async def test_a_restarted_server_is_reconnected(served: Served, say: Any) -> None:
    async with served.endpoint.connect(served.connector) as channel:
        assert await say(channel) == b"hello"
        states = channel.states()
        assert await anext(states) is ChannelState.READY
        await served.stop()
        assert await anext(states) is ChannelState.IDLE
        again = Served(served.service, served.way)
        again.port = served.port
        await again.start()
        try:
            assert await say(channel) == b"hello"
        finally:
            await again.stop()


async def test_close_and_aclose_end_a_call_in_flight(served: Served, say: Any, make_stub: Any) -> None:
    for end in ("close", "aclose"):
        channel = await served.endpoint.connect(served.connector)
        held = asyncio.create_task(make_stub(channel).hold(BytesValue(value=b"x")))
        await served.service.holding.wait()
        served.service.holding.clear()
        if end == "close":
            channel.close()
        await channel.aclose()
        with pytest.raises(StreamTerminatedError):
            await held
        with pytest.raises(ChannelClosed):
            await say(channel)
        assert channel._reconnect.open == ()


async def test_the_stream_reports_its_end_once_and_carries_the_ledger(served: Served, say: Any) -> None:
    streams: list[Any] = []
    ends: list[str] = []

    async def watch(uri: Uri) -> ByteStream:
        stream = await served.connector(uri)
        streams.append(stream)
        if hasattr(stream, "on_close"):
            stream.on_close(lambda: ends.append("closed"))
        return stream

    async with served.endpoint.connect(watch) as channel:
        await say(channel)
        assert ends == []
        ledger = channel.ledger
        assert ledger is not None
        assert ledger.phases[-1].name == "http2"
        if served.way != "pumped tls":
            assert streams[0].extra(DialAttribute.ledger) is ledger
    assert ends == ([] if served.way == "pumped tls" else ["closed"])


@asynccontextmanager
async def on_a_unix_socket(service: Any, path: str) -> AsyncIterator[None]:
    server = Server([service])
    await server.start(path=path)
    try:
        yield
    finally:
        server.close()
        await server.wait_closed()


async def test_a_call_over_a_unix_socket(echo_service: Any, say: Any, tmp_path: Any) -> None:
    path = f"{tmp_path}/far.sock"
    async with (
        on_a_unix_socket(echo_service(), path),
        Endpoint(f"unix:{path}").connect(UnixConnector()) as channel,
    ):
        assert await say(channel) == b"hello"


def test_the_end_of_the_loop_leaves_nothing_behind(echo_service: Any, say: Any) -> None:
    """``asyncio.run`` cancels all remaining tasks, including those of the pump and of a dial."""

    async def forget() -> None:
        served = Served(echo_service(), "pump")
        await served.start()
        channel = await served.endpoint.connect(served.connector)
        await say(channel)
        slow = Endpoint("http://127.0.0.1:1").connect_lazy(never)
        dialling = asyncio.create_task(say(slow))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        kept.extend((channel, slow, dialling))
        served.server.close()

    async def never(uri: Uri) -> ByteStream:
        await asyncio.get_running_loop().create_future()
        raise NotImplementedError

    kept: list[Any] = []
    asyncio.run(forget(), debug=True)
    channel, slow, dialling = kept
    assert channel.state is ChannelState.IDLE
    assert slow.state is ChannelState.IDLE
    assert dialling.cancelled()


# Garbage


async def test_neither_calls_nor_a_closed_connection_leave_a_cycle(served: Served, say: Any, make_stub: Any) -> None:
    channel = await served.endpoint.connect(served.connector)
    await say(channel, timeout=60.0)
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            await say(channel, timeout=60.0)
        async with make_stub(channel).talk.open() as call:
            await call.send_message(BytesValue(value=b"x"))
            await call.cancel()
        with pytest.raises(GRPCError):
            await make_stub(channel).unknown(BytesValue(value=b"x"))
        del call
        assert gc.collect() == 0
        await channel.aclose()
        await asyncio.sleep(0)
        del channel
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        gc.set_debug(0)
        left = {type(thing).__qualname__ for thing in gc.garbage if type(thing).__module__.startswith("ziggurat")}
        assert left == set()
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


async def test_a_server_that_misses_our_certificate_says_so_whatever_fails_first() -> None:
    """Its alert comes behind our handshake, with the end of the connection: our preface may fail before it is read."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("localhost").configure_cert(context)
    AUTHORITY.configure_trust(context)
    context.set_alpn_protocols(["h2"])
    context.verify_mode = ssl.CERT_REQUIRED
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    AUTHORITY.configure_trust(ours)
    ours.set_alpn_protocols(["h2"])

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:  # the end of the test
                return
            with connection, contextlib.suppress(OSError):
                context.wrap_socket(connection, server_side=True)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = threading.Thread(target=serve, args=[listener], daemon=True)
        serving.start()
        endpoint = Endpoint(f"https://localhost:{listener.getsockname()[1]}")
        for _ in range(20):
            with pytest.raises(TlsError, match=r"certificate required.*client_cert=") as caught:
                await endpoint.connect(TlsLayer(context=ours).layer(TcpConnector()))
            assert not caught.value.transient
        listener.shutdown(socket.SHUT_RDWR)
        serving.join()
