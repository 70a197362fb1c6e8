"""What else a user of grpclib has: its health and reflection services, ``graceful_exit``, ``ChannelFor``, peers.

Our channel calls a server of grpclib's and one with our mixin.
"""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trustme
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpclib.client import UnaryUnaryMethod
from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError, StreamTerminatedError
from grpclib.health.check import ServiceStatus
from grpclib.health.service import Health
from grpclib.health.v1.health_grpc import HealthStub
from grpclib.health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpclib.reflection.service import ServerReflection
from grpclib.reflection.v1.reflection_grpc import ServerReflectionStub
from grpclib.reflection.v1.reflection_pb2 import ServerReflectionRequest
from grpclib.reflection.v1alpha.reflection_grpc import ServerReflectionStub as OldReflectionStub
from grpclib.reflection.v1alpha.reflection_pb2 import ServerReflectionRequest as OldReflectionRequest
from grpclib.server import Server
from grpclib.testing import ChannelFor
from grpclib.utils import graceful_exit

from tests.services.channel.side_by_side import BytesCodec, our_channel
from ziggurat.layers import ServiceBuilder
from ziggurat.services import Channel, Endpoint, TcpConnector
from ziggurat.services.channel.server import CompressionMixin

pytestmark = pytest.mark.asyncio_only

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING
CA = trustme.CA()


class GzipServer(CompressionMixin, Server):
    pass


@pytest.fixture(params=[Server, GzipServer], ids=["grpclib", "mixin"])
def make_server(request: pytest.FixtureRequest) -> Any:
    return request.param


@asynccontextmanager
async def calling(server: Server, **arguments: Any) -> AsyncIterator[Channel]:
    channel = our_channel(server, **arguments)
    try:
        yield channel
    finally:
        await channel.aclose()
        await asyncio.sleep(0.01)


class Store:
    """A service that can be ill."""

    def __mapping__(self) -> dict[str, Handler]:
        return {"/test.Store/Get": Handler(self.get, Cardinality.UNARY_UNARY, bytes, bytes)}

    async def get(self, call: Any) -> None:
        raise GRPCError(Status.UNIMPLEMENTED)


# --- health -----------------------------------------------------------------------------------------------------------


async def test_the_health_of_a_server_and_of_its_services(make_server: Any) -> None:
    status, store = ServiceStatus(), Store()
    async with calling(make_server([store, Health({store: [status]})])) as channel:
        check = HealthStub(channel).Check
        assert (await check(HealthCheckRequest())).status == HealthCheckResponse.UNKNOWN
        status.set(True)
        assert (await check(HealthCheckRequest(service="test.Store"))).status == SERVING
        status.set(False)
        assert (await check(HealthCheckRequest(service="test.Store"))).status == NOT_SERVING
        with pytest.raises(GRPCError) as caught:
            await check(HealthCheckRequest(service="test.Other"))
        assert caught.value.status is Status.NOT_FOUND


async def test_changes_of_health_can_be_watched(make_server: Any) -> None:
    status, store = ServiceStatus(), Store()
    async with calling(make_server([store, Health({store: [status]})])) as channel:
        async with HealthStub(channel).Watch.open() as watch:
            await watch.send_message(HealthCheckRequest(service="test.Store"), end=True)
            seen = []
            for healthy in (True, False, True):
                status.set(healthy)
                message = await watch.recv_message()
                assert message is not None
                seen.append(message.status)
            await watch.cancel()
        assert seen == [SERVING, NOT_SERVING, SERVING]


# --- reflection -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stub", "request_type"),
    [(ServerReflectionStub, ServerReflectionRequest), (OldReflectionStub, OldReflectionRequest)],
    ids=["v1", "v1alpha"],
)
async def test_a_server_describes_itself(make_server: Any, stub: Any, request_type: Any) -> None:
    services = ServerReflection.extend([Health()])
    async with calling(make_server(services)) as channel:
        listed, file, missing = await stub(channel).ServerReflectionInfo(
            [
                request_type(list_services=""),
                request_type(file_containing_symbol="grpc.health.v1.Health"),
                request_type(file_by_filename="missing.proto"),
            ]
        )
    assert [service.name for service in listed.list_services_response.service] == ["grpc.health.v1.Health"]
    (described,) = file.file_descriptor_response.file_descriptor_proto
    assert FileDescriptorProto.FromString(described).package == "grpc.health.v1"
    assert missing.error_response.error_code == Status.NOT_FOUND.value


# --- ChannelFor -------------------------------------------------------------------------------------------------------


async def test_channel_for_works_in_the_same_loop(make_server: Any) -> None:
    request = HealthCheckRequest()
    async with calling(make_server([Health()])) as channel, ChannelFor([Health()]) as other:
        for stub in (HealthStub(channel), HealthStub(other), HealthStub(channel)):
            assert (await stub.Check(request)).status == SERVING


NOTHING_PATCHED = """
import importlib, types

NAMES = "client config const encoding.proto events exceptions metadata protocol server stream testing utils".split()

def snapshot():
    found = {}
    for name in NAMES:
        module = importlib.import_module(f"grpclib.{name}")
        for key, value in vars(module).items():
            found[name, key] = value
            if isinstance(value, type) and value.__module__ == module.__name__:
                found.update(((name, key, inner), member) for inner, member in vars(value).items()
                             if isinstance(member, (types.FunctionType, property, staticmethod, classmethod)))
    return found

before = snapshot()
import ziggurat.services, ziggurat.layers, ziggurat.node, ziggurat.services.channel.server
after = snapshot()
assert before.keys() == after.keys(), before.keys() ^ after.keys()
changed = [key for key in before if before[key] is not after[key]]
assert not changed, changed
print(len(before))
"""


def test_nothing_of_grpclib_is_patched() -> None:
    done = subprocess.run([sys.executable, "-c", NOTHING_PATCHED], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 500


# --- on sockets -------------------------------------------------------------------------------------------------------


class Peers:
    """Says what a handler sees of its caller."""

    def __init__(self) -> None:
        self.address: Any = None
        self.names: list[str] = []

    async def get(self, call: Any) -> None:
        await call.recv_message()
        self.address = call.peer.addr()
        self.names = names(call.peer.cert())
        await call.send_message(b"")

    def __mapping__(self) -> dict[str, Handler]:
        return {"/test.Peers/Get": Handler(self.get, Cardinality.UNARY_UNARY, bytes, bytes)}


def names(certificate: Any) -> list[str]:
    """Return the names in a certificate, as ``getpeercert`` gives it."""
    return [] if certificate is None else [value for _, value in certificate["subjectAltName"]]


def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the contexts of a server that wants to know its clients, and of a client that it knows."""
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    CA.issue_cert("localhost").configure_cert(server)
    CA.issue_cert("client.example").configure_cert(client)
    server.verify_mode = ssl.CERT_REQUIRED
    for context in (server, client):
        CA.configure_trust(context)
        context.set_alpn_protocols(["h2"])
    return server, client


@pytest.mark.real_io
@pytest.mark.parametrize("secure", [False, True], ids=["clear", "mtls"])
async def test_both_ends_know_their_peers(make_server: Any, secure: bool) -> None:
    peers = Peers()
    server = make_server([peers], codec=BytesCodec())
    theirs, ours = contexts() if secure else (None, None)
    await server.start("127.0.0.1", 0, ssl=theirs)
    port = server._server.sockets[0].getsockname()[1]
    connector: Any = TcpConnector()
    if secure:
        connector = ServiceBuilder().tls(context=ours).service(connector)
    endpoint = Endpoint(f"{'https' if secure else 'http'}://localhost:{port}", codec=BytesCodec())
    async with endpoint.connect(connector) as channel:
        async with channel.request("/test.Peers/Get", Cardinality.UNARY_UNARY, bytes, bytes, timeout=30.0) as call:
            assert call.peer is None
            assert call.deadline is not None
            assert 29.0 < call.deadline.time_remaining() <= 30.0
            await call.send_message(b"")
            assert call.peer is not None
            assert call.peer.addr()[:2] == ("127.0.0.1", port)
            assert names(call.peer.cert()) == (["localhost"] if secure else [])
            await call.recv_message()
        assert call.peer.addr()[:2] == ("127.0.0.1", port)  # also behind the call
        (connection,) = channel.connections
        assert peers.address[0] == "127.0.0.1"
        assert connection.peer == f"127.0.0.1:{port}"
        assert peers.names == (["client.example"] if secure else [])
    server.close()
    await server.wait_closed()


@pytest.mark.real_io
@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
async def test_graceful_exit_ends_a_server_that_is_being_called(make_server: Any, signal_number: int) -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    class Slow(Peers):
        async def get(self, call: Any) -> None:
            started.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.set()
                raise

    server = make_server([Slow()], codec=BytesCodec())
    with graceful_exit([server]):
        await server.start("127.0.0.1", 0)
        port = server._server.sockets[0].getsockname()[1]
        channel = Endpoint(f"http://127.0.0.1:{port}", codec=BytesCodec()).connect_lazy(TcpConnector())

        calling = asyncio.ensure_future(UnaryUnaryMethod(channel, "/test.Peers/Get", bytes, bytes)(b""))
        await started.wait()
        os.kill(os.getpid(), signal_number)
        await cancelled.wait()
        if make_server is Server:
            await (
                channel.aclose()
            )  # it leaves its connections to the end of the process; from 3.12 on it waits for them
        await server.wait_closed()
    await channel.aclose()
    with pytest.raises(StreamTerminatedError):
        await calling
