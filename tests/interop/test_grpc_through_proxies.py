"""gRPC through real proxies.

A server sends its SETTINGS unasked, and they may arrive in one segment with the proxy's reply. A client that loses them
passes every small call and hangs in the first large upload. Hence the large uploads, on both paths into HTTP/2.
"""

from __future__ import annotations

from collections.abc import Iterator

import anyio
import pytest
from google.protobuf.wrappers_pb2 import BytesValue, Int64Value

from tests.interop.grpcio_echo import EchoServer, EchoStub, grpcio_echo
from tests.interop.http_auth import Digest
from tests.interop.http_proxies import Squid
from tests.interop.proxies import PASSWORD, USER
from tests.interop.tor_network import TorNetwork
from ziggurat.layers import HttpConnectLayer, Isolated, Layer, ServiceBuilder, Socks4Layer, Socks5Layer
from ziggurat.layers.testing import SplitStream, fault_layer
from ziggurat.services import Endpoint, TcpConnector

pytestmark = [pytest.mark.real_io, pytest.mark.asyncio_only]

MIB = 1024 * 1024
CHUNKS = [BytesValue(value=bytes([n]) * MIB) for n in range(8)]

DIALS = 5
"""Several, since it is a matter of chance whether the bytes share a segment."""

LIMIT = 60.0


@pytest.fixture(scope="module")
def server() -> Iterator[EchoServer]:
    with grpcio_echo() as echo:
        yield echo


@pytest.fixture(params=["microsocks", "dante", "ssh", "ssh-socks4", "squid", "squid-digest", "tinyproxy"])
def proxy(request: pytest.FixtureRequest) -> Layer:
    name, _, variant = request.param.partition("-")
    server = request.getfixturevalue(name)
    if isinstance(server, Squid):
        digest = Digest(USER, PASSWORD)
        return HttpConnectLayer(server.locked, auth=digest) if variant else HttpConnectLayer(server.open)
    if name == "tinyproxy":
        return HttpConnectLayer(server)
    return Socks4Layer(server) if variant else Socks5Layer(server)


@pytest.mark.parametrize("pumped", [False, True], ids=["handed-over", "pumped"])
async def test_a_large_upload_and_download(proxy: Layer, server: EchoServer, pumped: bool) -> None:
    whole = fault_layer(lambda stream: SplitStream(stream, MIB)) if pumped else None  # a foreign stream
    connector = ServiceBuilder().option_layer(whole).layer(proxy).service(TcpConnector())
    for _ in range(DIALS):
        with anyio.fail_after(LIMIT):
            async with Endpoint(f"http://localhost:{server.port}").connect(connector) as channel:
                stub = EchoStub(channel)

                assert (await stub.upload(CHUNKS)).value == 8 * MIB
                assert len((await stub.make(Int64Value(value=8 * MIB))).value) == 8 * MIB


async def test_through_a_chain(dante: str, microsocks: str, server: EchoServer) -> None:
    connector = ServiceBuilder().socks5(microsocks).socks5(dante).service(TcpConnector())
    with anyio.fail_after(LIMIT):
        async with Endpoint(f"http://localhost:{server.port}").connect(connector) as channel:
            assert (await EchoStub(channel).upload(CHUNKS)).value == 8 * MIB
            assert channel.ledger is not None
            assert [p.via for p in channel.ledger.phases if p.name == "proxy.connect"] == [dante, microsocks]


async def test_through_a_chain_of_kinds(dante: str, squid: Squid, tinyproxy: str, server: EchoServer) -> None:
    builder = ServiceBuilder().socks5(dante).http_connect(tinyproxy).http_connect(squid.open).socks4(dante)
    with anyio.fail_after(LIMIT):
        async with Endpoint(f"http://localhost:{server.port}").connect(builder.service(TcpConnector())) as channel:
            assert (await EchoStub(channel).upload(CHUNKS)).value == 8 * MIB


@pytest.mark.parametrize("way", ["exit", "onion"])
async def test_through_privoxy_in_front_of_tor(tor: TorNetwork, privoxy: str, server: EchoServer, way: str) -> None:
    port = server.port if way == "exit" else 80
    host = "localhost" if way == "exit" else tor.host.add_onion(80, f"127.0.0.1:{server.port}")
    connector = ServiceBuilder().http_connect(privoxy).service(TcpConnector())
    with anyio.fail_after(LIMIT):
        async with Endpoint(f"http://{host}:{port}", http2_timeout=30.0).connect(connector) as channel:
            assert (await EchoStub(channel).upload(CHUNKS)).value == 8 * MIB


@pytest.mark.parametrize("way", ["exit", "onion"])
async def test_through_tor(tor: TorNetwork, server: EchoServer, way: str) -> None:
    port = server.port if way == "exit" else 80
    host = "localhost" if way == "exit" else tor.host.add_onion(80, f"127.0.0.1:{server.port}")
    connector = ServiceBuilder().socks5(tor.proxy, auth=Isolated()).service(TcpConnector())
    with anyio.fail_after(LIMIT):
        async with Endpoint(f"http://{host}:{port}", http2_timeout=30.0).connect(connector) as channel:
            assert (await EchoStub(channel).upload(CHUNKS)).value == 8 * MIB
