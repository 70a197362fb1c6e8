"""The leaves, SOCKS5 and the channel under uvloop."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import EndOfStream
from google.protobuf.wrappers_pb2 import BytesValue, Int64Value
from grpclib.client import UnaryUnaryMethod
from grpclib.const import Cardinality, Handler
from grpclib.server import Server, Stream

from tests.interop.grpcio_echo import EchoStub, grpcio_echo
from tests.interop.targets import BANNER, echo, read_exactly, refusing
from tests.services.tls_peers import NAME, serving, trusting
from ziggurat.layers import ServiceBuilder, Socks5Layer, TlsLayer, UserPass
from ziggurat.layers.testing import Socks5Server
from ziggurat.services import (
    ConnectRefused,
    ConnectTimeout,
    Endpoint,
    ProxyProtocolError,
    TcpConnector,
    TlsStream,
    TransportStream,
    UnixConnector,
    Uri,
)

uvloop = pytest.importorskip("uvloop", reason="uvloop is not installed (pip install '.[interop]')")

MIB = 1024 * 1024


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": uvloop.new_event_loop, "debug": True}


pytestmark = [pytest.mark.real_io, pytest.mark.asyncio_only]


async def test_a_tcp_dial() -> None:
    async with echo(first=BANNER) as port, await TcpConnector()(Uri("http", "localhost", port)) as stream:
        assert isinstance(asyncio.get_running_loop(), uvloop.Loop)
        assert type(stream) is TransportStream
        assert await read_exactly(stream, len(BANNER)) == BANNER
        await stream.send(bytes(MIB))
        assert await read_exactly(stream, MIB) == bytes(MIB)
        await stream.send_eof()
        with pytest.raises(EndOfStream):
            await stream.receive()


async def test_a_refused_dial() -> None:
    with refusing() as port, pytest.raises(ConnectRefused, match="connection refused"):
        await TcpConnector()(Uri("http", "127.0.0.1", port))


async def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    async with await anyio.create_unix_listener(path) as listener, anyio.create_task_group() as tasks:

        async def serve(client: anyio.abc.SocketStream) -> None:
            async with client:
                await client.send(await client.receive())

        tasks.start_soon(listener.serve, serve)
        async with await UnixConnector()(Uri("unix", path=str(path))) as stream:
            await stream.send(b"hello")
            assert await read_exactly(stream, 5) == b"hello"
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("pipeline", [None, "auth", "all"])
async def test_a_dial_through_a_proxy(pipeline: Any) -> None:
    async with Socks5Server({"user": "word"}).serve() as proxy, echo(first=BANNER) as port:
        layer = Socks5Layer(proxy, auth=UserPass("user", "word"), pipeline=pipeline)
        async with await layer.layer(TcpConnector())(Uri("http", "localhost", port)) as stream:
            assert await read_exactly(stream, len(BANNER)) == BANNER
            await stream.send(b"hello")
            assert await read_exactly(stream, 5) == b"hello"


async def test_an_echo_server_is_not_a_proxy() -> None:
    async with echo() as port:
        connector = Socks5Layer(f"127.0.0.1:{port}").layer(TcpConnector())
        with pytest.raises(ProxyProtocolError, match="0x01, which was not offered"):
            await connector(Uri("http", "localhost", 9))


async def test_a_limit_runs_out() -> None:
    async def never(uri: Uri, /) -> Any:
        await anyio.sleep_forever()

    with pytest.raises(ConnectTimeout, match="'all'"):
        await ServiceBuilder().timeout(0.05, name="all").service(never)(Uri("http", "localhost", 9))


@pytest.mark.parametrize("compression", [None, "gzip"])
async def test_the_channel_through_a_proxy(compression: Any) -> None:
    with grpcio_echo(compression=compression) as server:
        async with Socks5Server().serve() as proxy:
            connector = ServiceBuilder().timeout(10.0).socks5(proxy).service(TcpConnector())
            endpoint = Endpoint(f"http://localhost:{server.port}", compression=compression)
            async with endpoint.connect(connector) as channel:
                stub = EchoStub(channel)
                messages = [BytesValue(value=bytes([n]) * MIB) for n in range(8)]

                assert (await stub.upload(messages)).value == 8 * MIB
                assert len((await stub.make(Int64Value(value=8 * MIB))).value) == 8 * MIB
                assert [m.value for m in await stub.talk(messages)] == [m.value for m in messages]


async def test_the_channel_over_tls() -> None:
    context = serving()
    server = Server([Echo()])
    await server.start("127.0.0.1", 0, ssl=context)
    assert server._server is not None
    port = server._server.sockets[0].getsockname()[1]
    streams: list[object] = []

    async def named(uri: Uri, /) -> anyio.abc.ByteStream:
        return await TcpConnector()(Uri("https", "127.0.0.1", port))

    async def watched(uri: Uri, /) -> anyio.abc.ByteStream:
        streams.append(stream := await TlsLayer(trusting()).layer(named)(uri))
        return stream

    async with Endpoint(f"https://{NAME}").connect(watched) as channel:
        call = UnaryUnaryMethod(channel, "/test.Echo/Say", BytesValue, BytesValue)
        for size in (1, 4 * MIB):
            assert (await call(BytesValue(value=bytes(size)))).value == bytes(size)
    assert [type(stream) for stream in streams] == [TlsStream]
    server.close()
    await server.wait_closed()


class Echo:
    """A service without generated code."""

    async def say(self, stream: Stream[BytesValue, BytesValue]) -> None:
        message = await stream.recv_message()
        assert message is not None
        await stream.send_message(message)

    def __mapping__(self) -> dict[str, Handler]:
        return {"/test.Echo/Say": Handler(self.say, Cardinality.UNARY_UNARY, BytesValue, BytesValue)}
