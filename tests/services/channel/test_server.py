# ruff: noqa: PT012  (a call is a block, and leaving it raises)
from __future__ import annotations

from typing import Any

import pytest
import trustme
from grpclib.config import Configuration
from grpclib.const import Cardinality, Status
from grpclib.exceptions import GRPCError
from hyperframe.frame import DataFrame, HeadersFrame

from tests.services.channel.raw_client import GzipServer, Methods, dial, request
from ziggurat.services.channel.compression import compress

UNARY = Cardinality.UNARY_UNARY
HEADERS = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/raw/echo"),
    (":authority", "h"),
    ("te", "trailers"),
    ("content-type", "application/grpc+raw"),
]


@pytest.mark.asyncio_only
@pytest.mark.parametrize("sent", [None, "gzip"])
@pytest.mark.parametrize("answered", [None, "gzip"])
async def test_a_compressing_client_and_server_understand_each_other(
    wire: Any, raw_service: Any, raw_codec: Any, sent: Any, answered: Any
) -> None:
    server = GzipServer([raw_service], codec=raw_codec, compression=answered)
    await wire.serve(server._protocol_factory, compression=sent)
    for body in (b"", b"hello", bytes(300_000)):
        assert await wire.channel.method("/raw/echo", UNARY)(body) == body
    assert raw_service.request_headers.get("grpc-encoding") == sent
    assert await wire.channel.method("/raw/talk")([b"a", b"", b"b"]) == [b"a", b"", b"b"]


@pytest.mark.asyncio_only
@pytest.mark.parametrize("compression", [None, "gzip"])
async def test_handler_and_client_get_the_error_of_a_message_beyond_the_limit(
    wire: Any, raw_service: Any, raw_codec: Any, compression: Any
) -> None:
    server = GzipServer([raw_service], codec=raw_codec, max_message_size=1000)
    await wire.serve(server._protocol_factory, compression=compression)
    with pytest.raises(GRPCError, match="max_message_size") as caught:
        await wire.channel.method("/raw/talk")([b"small", bytes(100_000)])
    assert caught.value.status is Status.RESOURCE_EXHAUSTED
    assert isinstance(raw_service.errors[0], GRPCError)
    assert await wire.channel.method("/raw/echo", UNARY)(b"next") == b"next"


@pytest.mark.asyncio_only
@pytest.mark.parametrize(
    ("extra", "flag", "status"),
    [([], 1, "13"), ([("grpc-encoding", "deflate")], 1, "12"), ([("grpc-encoding", "gzip")], 3, "13")],
)
async def test_a_bad_request_message_gets_the_right_status(
    wire: Any, raw_service: Any, raw_codec: Any, extra: list[tuple[str, str]], flag: int, status: str
) -> None:
    trailers = await ask(wire, GzipServer([raw_service], codec=raw_codec), extra, compress(b"x"), flag)
    assert trailers["grpc-status"] == status
    assert trailers["grpc-accept-encoding"] == "identity,gzip"


@pytest.mark.asyncio_only
async def test_a_client_that_does_not_accept_gzip_gets_none(wire: Any, raw_service: Any, raw_codec: Any) -> None:
    server = GzipServer([raw_service], codec=raw_codec, compression="gzip")
    headers = await ask(wire, server, [("grpc-encoding", "gzip")], compress(b"x"), 1)
    assert "grpc-encoding" not in headers
    assert wire.body == b"\0\0\0\0\1x"


async def ask(wire: Any, server: Any, extra: list[tuple[str, str]], body: bytes, flag: int) -> dict[str, str]:
    """Send one request as frames. Return the first headers of the reply; its message is then ``wire.body``."""
    import asyncio

    import async_solipsism

    near, far = async_solipsism.socketpair()
    transport, _ = await asyncio.get_running_loop().create_connection(server._protocol_factory, sock=far)
    wire.reader, writer = await asyncio.open_connection(sock=near)
    wire.writers.append(writer)
    wire._preface = True  # only clients send one
    request = wire.headers(1, HEADERS + extra) + wire.message(1, body, flag=flag, end=True)
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + wire.settings() + request)
    answer = dict((await wire.expect(HeadersFrame)).decoded)
    if "grpc-status" not in answer:
        wire.body = (await wire.expect(DataFrame)).data
    transport.abort()
    await wire.settle()
    return answer


def test_arguments_are_checked(raw_service: Any) -> None:
    with pytest.raises(ValueError, match="compression must be 'gzip' or None, not 'br'"):
        GzipServer([raw_service], compression="br")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="max_message_size must not be negative: -1"):
        GzipServer([raw_service], max_message_size=-1)
    with pytest.raises(ValueError, match="max_unread"):
        GzipServer([raw_service], max_unread=0)


SMALL = Configuration(http2_connection_window_size=65_535, http2_stream_window_size=65_535)


@pytest.mark.asyncio_only
@pytest.mark.parametrize("max_unread", [65_535, 1_000_000])
async def test_a_handler_that_does_not_read_holds_up_other_calls_beyond_a_bound_only(
    wire: Any, raw_codec: Any, max_unread: int
) -> None:
    import asyncio

    async def wait(call: Any) -> None:
        await read.wait()
        await call.recv_message()

    read = asyncio.Event()
    protocol = await dial(wire, GzipServer([Methods(echo=wait)], codec=raw_codec, config=SMALL, max_unread=max_unread))
    await wire.send(request(wire), *[wire.data(1, bytes(13_107))] * 5)
    assert (protocol.core._window.left >= 32_768) is (max_unread > 65_535)
    read.set()
    await wire.settle()
    assert protocol.core._window.left >= 32_768


@pytest.mark.asyncio_only
async def test_grpclibs_health_service_works(wire: Any, raw_channel: Any) -> None:
    from grpclib.encoding.proto import ProtoCodec
    from grpclib.health.service import Health
    from grpclib.health.v1.health_grpc import HealthStub
    from grpclib.health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

    await wire.serve(GzipServer([Health()])._protocol_factory)
    channel = raw_channel(wire.protocol, codec=ProtoCodec())
    channel.content_type = "application/grpc+proto"
    stub = HealthStub(channel)
    serving = HealthCheckResponse(status=HealthCheckResponse.SERVING)
    assert await stub.Check(HealthCheckRequest()) == serving
    async with stub.Watch.open() as call:
        await call.send_message(HealthCheckRequest(), end=True)
        assert await call.recv_message() == serving
        await call.cancel()


@pytest.mark.asyncio_only
@pytest.mark.real_io
@pytest.mark.parametrize("secure", [False, True])
async def test_the_server_starts_with_tls_or_without_and_closes_with_its_connections(
    wire: Any, raw_channel: Any, raw_service: Any, raw_codec: Any, secure: bool
) -> None:
    import asyncio
    import ssl

    server_context = client_context = None
    if secure:
        authority = trustme.CA()
        server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        client_context = ssl.create_default_context()
        authority.issue_cert("127.0.0.1").configure_cert(server_context)
        authority.configure_trust(client_context)
        for context in (server_context, client_context):
            context.set_alpn_protocols(["h2"])
    async with GzipServer([raw_service], codec=raw_codec) as server:
        await server.start("127.0.0.1", 0, ssl=server_context)
        port = server._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        _, protocol = await asyncio.get_running_loop().create_connection(
            wire.make_protocol, "127.0.0.1", port, ssl=client_context
        )
        channel = raw_channel(protocol)
        assert await channel.method("/raw/echo", UNARY)(b"x") == b"x"
    await protocol.lost.wait()  # the server has closed it
    assert not server._handlers or all(handler.check_closed() for handler in server._handlers)


@pytest.mark.asyncio_only
@pytest.mark.real_io
async def test_lost_connections_are_forgotten(raw_service: Any, raw_codec: Any) -> None:
    server = GzipServer([raw_service], codec=raw_codec)
    for _ in range(30):
        server._protocol_factory().handler.detach()
    assert len(server._handlers) < 15


@pytest.mark.asyncio_only
@pytest.mark.real_io
@pytest.mark.parametrize("compression", ["gzip", None])
async def test_a_grpcio_client_understands_the_server(raw_service: Any, compression: Any) -> None:
    grpc = pytest.importorskip("grpc")
    protocols: list[Any] = []

    class Recorded(GzipServer):
        def _protocol_factory(self) -> Any:
            protocols.append(super()._protocol_factory())
            return protocols[-1]

    server = Recorded([raw_service], codec=ProtoNamed(), compression="gzip", max_message_size=50_000)
    await server.start("127.0.0.1", 0)
    assert server._server is not None
    port = server._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    algorithm = grpc.Compression.Gzip if compression else grpc.Compression.NoCompression
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", compression=algorithm) as channel:
        echo, talk = channel.unary_unary("/raw/echo"), channel.stream_stream("/raw/talk")
        for body in (b"", b"hello" * 100, bytes(40_000)):
            assert await echo(body) == body
        assert [m async for m in talk(iter([b"a", b"", b"b" * 2000]))] == [b"a", b"", b"b" * 2000]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await echo(bytes(60_000))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    server.close()
    for protocol in protocols:
        protocol.close()
        await protocol.lost.wait()


@pytest.mark.asyncio_only
@pytest.mark.real_io
@pytest.mark.parametrize("compression", ["gzip", None])
async def test_a_grpcio_server_understands_the_client(wire: Any, raw_channel: Any, compression: Any) -> None:
    grpc = pytest.importorskip("grpc")
    import asyncio

    async def echo(request: bytes, context: Any) -> bytes:
        seen.update(context.invocation_metadata() or ())
        return request

    async def talk(requests: Any, context: Any) -> Any:
        yield await anext(requests)  # without waiting for the end of the client's side
        await context.abort(grpc.StatusCode.NOT_FOUND, "enough")

    seen: dict[str, str] = {}
    server = grpc.aio.server(compression=grpc.Compression.Gzip)
    handlers = {
        "echo": grpc.unary_unary_rpc_method_handler(echo),
        "talk": grpc.stream_stream_rpc_method_handler(talk),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("raw", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    loop = asyncio.get_running_loop()
    _, protocol = await loop.create_connection(
        lambda: wire.make_protocol(compression=compression, user_agent="me/1"), "127.0.0.1", port
    )
    channel = raw_channel(protocol, codec=ProtoNamed())
    for body in (b"", b"hello" * 100, bytes(1_000_000)):
        assert await channel.method("/raw/echo", UNARY)(body) == body
    assert seen["user-agent"] == "me/1"
    with pytest.raises(GRPCError, match="enough"):
        async with channel.open("/raw/talk") as call:
            await call.send_message(b"hello")
            assert await call.recv_message() == b"hello"
            assert await call.recv_message() is None
    await protocol.aclose()
    await server.stop(None)


class ProtoNamed:
    """A codec of bytes with the subtype that grpcio always uses."""

    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:
        return bytes(message)

    def decode(self, data: bytes, message_type: Any) -> bytes:
        return data
