"""The far ends, each in its own process: ``python servers.py KIND``, one of `KINDS`; see also `fast_server`.

A server prints its port and runs until its standard input ends, so that none outlives a killed benchmark.
"""

from __future__ import annotations

import argparse
import asyncio
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from bench_service import DOWNLOAD, IDLE, MANY, MIB, SMALL, UNARY, UPLOAD, BytesValue, Int64Value
from kaspa_end import kaspa_server
from raw_transfer import raw_transfer

BACKLOG = 4096
PAYLOAD = BytesValue(value=bytes(range(256)) * (MIB // 256))
SMALL_PAYLOAD = BytesValue(value=bytes(range(SMALL)))


@asynccontextmanager
async def grpcio(certificate: str | None) -> AsyncIterator[int]:
    """Run a grpcio server, which advertises frames of 4 MiB."""
    import grpc
    import grpc.aio

    async def unary(request: BytesValue, context: Any) -> BytesValue:
        return request

    async def download(request: Int64Value, context: Any) -> AsyncIterator[BytesValue]:
        for _ in range(request.value):
            yield PAYLOAD

    async def many(request: Int64Value, context: Any) -> AsyncIterator[BytesValue]:
        for _ in range(request.value):
            yield SMALL_PAYLOAD

    async def upload(requests: AsyncIterator[BytesValue], context: Any) -> Int64Value:
        return Int64Value(value=sum([len(message.value) async for message in requests]))

    async def idle(requests: AsyncIterator[BytesValue], context: Any) -> AsyncIterator[BytesValue]:
        async for message in requests:
            yield message

    value, size = (BytesValue.FromString, BytesValue.SerializeToString), Int64Value.SerializeToString
    handlers = {
        UNARY: grpc.unary_unary_rpc_method_handler(unary, *value),
        DOWNLOAD: grpc.unary_stream_rpc_method_handler(download, Int64Value.FromString, value[1]),
        MANY: grpc.unary_stream_rpc_method_handler(many, Int64Value.FromString, value[1]),
        UPLOAD: grpc.stream_unary_rpc_method_handler(upload, value[0], size),
        IDLE: grpc.stream_stream_rpc_method_handler(idle, *value),
    }
    service, methods = "bench.Bench", {path.rsplit("/", 1)[1]: handler for path, handler in handlers.items()}
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, methods),))
    if certificate is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([_key_and_chain(certificate)]))
    await server.start()
    yield port
    await server.stop(0)


def _key_and_chain(certificate: str) -> tuple[bytes, bytes]:
    pem = Path(certificate).read_bytes()
    return pem, pem


def context(certificate: str | None) -> ssl.SSLContext | None:
    """Return the context of a server with a certificate; ``None`` without one."""
    if certificate is None:
        return None
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    tls.set_alpn_protocols(["h2"])
    return tls


class GrpclibService:
    """The service, in the form that `grpclib.server.Server` expects."""

    def __mapping__(self) -> dict[str, Any]:
        from grpclib.const import Cardinality, Handler

        return {
            UNARY: Handler(self.echo, Cardinality.UNARY_UNARY, BytesValue, BytesValue),
            DOWNLOAD: Handler(self.download, Cardinality.UNARY_STREAM, Int64Value, BytesValue),
            MANY: Handler(self.many, Cardinality.UNARY_STREAM, Int64Value, BytesValue),
            UPLOAD: Handler(self.upload, Cardinality.STREAM_UNARY, BytesValue, Int64Value),
            IDLE: Handler(self.echo, Cardinality.STREAM_STREAM, BytesValue, BytesValue),
        }

    async def echo(self, stream: Any) -> None:
        async for message in stream:
            await stream.send_message(message)

    async def download(self, stream: Any) -> None:
        for _ in range((await stream.recv_message()).value):
            await stream.send_message(PAYLOAD)

    async def many(self, stream: Any) -> None:
        for _ in range((await stream.recv_message()).value):
            await stream.send_message(SMALL_PAYLOAD)

    async def upload(self, stream: Any) -> None:
        await stream.send_message(Int64Value(value=sum([len(message.value) async for message in stream])))


@asynccontextmanager
async def grpclib(certificate: str | None) -> AsyncIterator[int]:
    """Run a grpclib server, which advertises frames of 16 KiB."""
    from grpclib.server import Server

    server = Server([GrpclibService()])
    await server.start("127.0.0.1", 0, ssl=context(certificate), backlog=BACKLOG)
    assert server._server is not None
    yield server._server.sockets[0].getsockname()[1]
    server.close()


@asynccontextmanager
async def mixin(certificate: str | None) -> AsyncIterator[int]:
    """Run the same on our server, started as grpclib's is."""
    server = our_server()
    await server.start("127.0.0.1", 0, ssl=context(certificate), backlog=BACKLOG)
    assert server._server is not None
    yield server._server.sockets[0].getsockname()[1]
    server.close()


@asynccontextmanager
async def listener(certificate: str | None) -> AsyncIterator[int]:
    """Run the same behind the node's listener."""
    from ziggurat.node.address import NetAddress
    from ziggurat.node.inbound.listener import TcpListener

    listener = TcpListener(NetAddress.parse("127.0.0.1:0"))
    address = await listener.start(our_server()._protocol_factory)
    yield address.port
    await listener.aclose()


def our_server() -> Any:
    """Return a grpclib server on our HTTP/2."""
    from grpclib.server import Server

    from ziggurat.services.channel import CompressionMixin

    class OurServer(CompressionMixin, Server):
        pass

    return OurServer([GrpclibService()])


class Echo(asyncio.Protocol):
    """Sends back what comes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


@asynccontextmanager
async def echo(certificate: str | None) -> AsyncIterator[int]:
    """Run a server without a protocol."""
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


class Sink(asyncio.BufferedProtocol):
    """Answers each message with one byte, when it is complete: eight bytes that are its length, and that many more."""

    def __init__(self) -> None:
        self.buffer = memoryview(bytearray(MIB))
        self.head = bytearray()
        self.left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.buffer if self.left else self.buffer[: 8 - len(self.head)]

    def buffer_updated(self, nbytes: int) -> None:
        if self.left:
            self.left -= nbytes
            if self.left == 0:
                self.transport.write(b".")
            return
        self.head += self.buffer[:nbytes]
        if len(self.head) == 8:
            self.left = int.from_bytes(self.head, "big")
            self.head.clear()


@asynccontextmanager
async def sink(certificate: str | None) -> AsyncIterator[int]:
    """Run a server that swallows what comes."""
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


class Http(asyncio.Protocol):
    """Answers each request head with the same few bytes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if data.endswith(b"\r\n\r\n"):
            self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")


@asynccontextmanager
async def http(certificate: str | None) -> AsyncIterator[int]:
    """Run a server for HTTP/1.1 without a parser."""
    server = await asyncio.get_running_loop().create_server(Http, "127.0.0.1", 0, backlog=BACKLOG)
    yield server.sockets[0].getsockname()[1]
    server.close()


@asynccontextmanager
async def accept(certificate: str | None) -> AsyncIterator[int]:
    """Run a target for tunnels: it accepts, sends nothing, and hangs up when the client does."""
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0, backlog=BACKLOG)
    yield server.sockets[0].getsockname()[1]
    server.close()


class Connect(asyncio.Protocol):
    """Grants each CONNECT request, and connects to nothing."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.head = cast(asyncio.Transport, transport), b""

    def data_received(self, data: bytes) -> None:
        self.head += data
        if self.head.endswith(b"\r\n\r\n"):
            self.transport.write(b"HTTP/1.1 200 Connection established\r\n\r\n")


@asynccontextmanager
async def connect(certificate: str | None) -> AsyncIterator[int]:
    """Run an HTTP proxy without a network behind it."""
    server = await asyncio.get_running_loop().create_server(Connect, "127.0.0.1", 0, backlog=BACKLOG)
    yield server.sockets[0].getsockname()[1]
    server.close()


@asynccontextmanager
async def socks5(certificate: str | None) -> AsyncIterator[int]:
    """Run the library's own test proxy, for machines without microsocks."""
    from ziggurat.layers.testing.socks5_server import Socks5Server

    async with Socks5Server().serve() as uri:
        yield uri.port


KINDS: dict[str, Callable[[str | None], Any]] = {
    "grpcio": grpcio,
    "grpclib": grpclib,
    "mixin": mixin,
    "listener": listener,
    "echo": echo,
    "sink": sink,
    "accept": accept,
    "connect": connect,
    "http": http,
    "socks5": socks5,
    "kaspa": kaspa_server,
    "raw transfer": raw_transfer,
}


async def until_stdin_ends() -> None:
    """Wait until the benchmark closes our standard input or is killed."""
    loop, reader = asyncio.get_running_loop(), asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()
    transport.close()


async def serve(kind: str, certificate: str | None, wait: Callable[[], Awaitable[None]]) -> None:
    async with KINDS[kind](certificate) as port:
        print(port, flush=True)
        await wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=sorted(KINDS))
    parser.add_argument("--certificate", help="PEM file with key and chain, for grpcio and grpclib")
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.kind, arguments.certificate, until_stdin_ends))


if __name__ == "__main__":
    main()
