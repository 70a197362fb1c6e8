"""Retries, breakers and races below a real channel: what counts is the peer's SETTINGS, not the stream."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import pytest
from anyio.abc import ByteStream

from tests.layers.recorder import Recorder
from tests.services.channel.conftest import MemoryServer, echo
from ziggurat.layers import Breaker, LoggingLayer, RetryBudget, RetryLayer, RetryPolicy, race
from ziggurat.layers.circuit_breaker import CircuitBreakerLayer
from ziggurat.layers.layer import Stack
from ziggurat.services import Backoff, CircuitOpen, ConnectError, ConnectRefused, Endpoint, Uri, dial, phase

pytestmark = pytest.mark.asyncio_only

BACKOFF = Backoff(0.25, jitter=0.0)


@pytest.fixture
async def server(anyio_backend: object) -> AsyncIterator[MemoryServer]:
    server = MemoryServer()
    yield server
    await server.aclose()


class Flaky:
    """Refuses the first dials."""

    def __init__(self, server: MemoryServer, failures: int) -> None:
        self.server = server
        self.failures = failures

    async def __call__(self, uri: Uri, /) -> ByteStream:
        with dial(uri) as current, phase("tcp"):
            self.failures -= 1
            if self.failures >= 0:
                raise ConnectRefused("no")
            return current.established(await self.server(uri))


async def mute(stream: ByteStream) -> None:
    await anyio.sleep_forever()


async def test_each_attempt_has_one_outcome_and_the_last_one_after_http2(server: MemoryServer) -> None:
    above, below = Recorder(), Recorder()
    stack = Stack(
        [LoggingLayer(logger=above), RetryLayer(RetryPolicy(backoff=BACKOFF)), LoggingLayer(logger=below)],
        Flaky(server, 2),
    )
    async with Endpoint("http://far.example").connect(stack) as channel:
        assert await echo(channel) == b"hello"
        assert above.events == ["dial.started", "dial.connected"]
        assert below.events == ["dial.started", "dial.failed"] * 2 + ["dial.started", "dial.connected"]
        assert channel.ledger is not None
        attempts = [entry.attempt for entry in channel.ledger.phases if entry.name == "tcp"]
        assert attempts == [1, 2, 3]


async def test_a_server_that_is_mute_fails_the_attempt_that_reached_it(server: MemoryServer) -> None:
    server.play = mute
    above, below = Recorder(), Recorder()
    budget = RetryBudget(2.0, per_second=0.0)
    stack = Stack(
        [
            LoggingLayer(logger=above),
            RetryLayer(RetryPolicy(backoff=BACKOFF, budget=budget)),
            LoggingLayer(logger=below),
        ],
        Flaky(server, 1),
    )
    with pytest.raises(ConnectError, match="http2"):
        await Endpoint("http://far.example", http2_timeout=1.0).connect(stack)
    assert above.events == ["dial.started", "dial.failed"]
    assert below.events == ["dial.started", "dial.failed"] * 2
    assert budget.left == 1.0  # no success
    assert server.open == 0


async def test_a_mute_server_opens_its_circuit(server: MemoryServer) -> None:
    server.play = mute
    breaker = Breaker(2)
    stack = CircuitBreakerLayer(breaker).layer(server)
    endpoint = Endpoint("http://far.example", http2_timeout=1.0)
    for _ in range(2):
        with pytest.raises(ConnectError, match="http2"):
            await endpoint.connect(stack)
    with pytest.raises(CircuitOpen):
        await endpoint.connect(stack)
    assert server.dials == 2


async def test_the_tls_of_a_loser_does_not_stand_for_the_winner(server: MemoryServer) -> None:
    """Or a plain branch would carry the calls of an https endpoint."""

    async def slow_but_secure(uri: Uri, /) -> ByteStream:
        with dial(uri):
            with phase("tls", via="far.example"):
                pass
            await anyio.sleep_forever()
        raise AssertionError

    with pytest.raises(ConnectError, match=r"no layer verified 'far\.example' by TLS"):
        await Endpoint("https://far.example").connect(race(slow_but_secure, server))
    assert server.open == 0


async def test_of_a_race_below_a_channel_one_stream_is_open(server: MemoryServer) -> None:
    server.delay = 1.0

    async def later(uri: Uri, /) -> ByteStream:
        server.delay = 0.75  # ends in the same tick
        return await server(uri)

    async with Endpoint("http://far.example").connect(race(server, later)) as channel:
        assert await echo(channel) == b"hello"
        assert (len(server.near), server.open) == (2, 1)
    assert server.open == 0
