"""A channel over a balance, with real servers: the endpoint's HTTP/2 and its calls."""

from __future__ import annotations

import pytest
from anyio.abc import ByteStream
from grpclib.health.service import Health
from grpclib.health.v1.health_grpc import HealthStub
from grpclib.health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpclib.server import Server

from ziggurat.layers import Balance, PendingLoad, redirects
from ziggurat.layers.testing.loopback import serve_loopback
from ziggurat.services import Backoff, Channel, Endpoint, TcpConnector

pytestmark = [pytest.mark.real_io, pytest.mark.asyncio_only]

TARGET = "http://target.example"


async def check(channel: Channel) -> None:
    answer = await HealthStub(channel).Check(HealthCheckRequest())
    assert answer.status == HealthCheckResponse.SERVING


async def serving() -> tuple[Server, str]:
    server = Server([Health()])
    await server.start("127.0.0.1", 0)
    (listener,) = server._server.sockets  # type: ignore[union-attr]
    return server, f"127.0.0.1:{listener.getsockname()[1]}"


async def hang_up(stream: ByteStream) -> None:
    """Accept and close, as a proxy does whose server is gone."""


async def test_an_endpoint_that_accepts_and_never_speaks_http2_is_left_alone() -> None:
    server, good = await serving()
    try:
        async with serve_loopback(hang_up) as port:
            hollow = f"127.0.0.1:{port}"
            endpoints = redirects(TcpConnector(), [hollow, good])
            balance = Balance(endpoints, load=PendingLoad(), backoff=Backoff(60.0), rng=lambda: 0.0)
            quick = Backoff(0.001, maximum=0.001)
            async with Endpoint(TARGET, wait_for_ready=True, backoff=quick).connect_lazy(balance) as channel:
                await check(channel)
                states = balance.endpoints
                assert (states[hollow].failures, states[good].failures) == (1, 0)
                assert states[good].streams == 1  # handed over to HTTP/2, and still counted
            assert balance.endpoints[good].streams == 0
    finally:
        server.close()
        await server.wait_closed()


async def test_channels_over_one_balance_spread_over_its_servers() -> None:
    servers = [await serving() for _ in range(2)]
    try:
        balance = Balance(redirects(TcpConnector(), [address for _, address in servers]), load=PendingLoad())
        async with (
            Endpoint(TARGET).connect(balance) as one,
            Endpoint(TARGET).connect(balance) as two,
            Endpoint(TARGET).connect(balance) as three,
            Endpoint(TARGET).connect(balance) as four,
        ):
            for channel in (one, two, three, four):
                await check(channel)
            assert [state.streams for state in balance.endpoints.values()] == [2, 2]
    finally:
        for server, _ in servers:
            server.close()
            await server.wait_closed()
