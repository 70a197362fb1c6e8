"""Two retry storms, on virtual time: a server fails for two seconds; what do its clients do to it then?

The server can answer 24 dials a second; beyond that it is too busy to answer any, as those that it turns away cost it
time, too. Its clients dial it 16 times a second. Three attempts each are 48: without a budget the retries keep the
server down long after its own failure is over.
"""

from __future__ import annotations

from collections import deque

import anyio
from anyio.abc import ByteStream

from tests.layers.scripted import TARGET
from ziggurat.layers import Breaker, RetryBudget, RetryPolicy, ServiceBuilder
from ziggurat.layers.layer import Stack
from ziggurat.layers.testing import stream_pair
from ziggurat.services import Backoff, ConnectError, ConnectRefused, Uri, dial, phase

CLIENTS = 16
CAPACITY = 24
SECONDS = 16
OUTAGE = (2.0, 4.0)
BACKOFF = Backoff(0.25, factor=2.0, jitter=0.0)


class Server:
    """A leaf that refuses dials during the outage, and when there are more than it can take in a second."""

    def __init__(self) -> None:
        self.start = anyio.current_time()
        self.times: list[float] = []
        self.served: list[float] = []
        self._last: deque[float] = deque()

    async def __call__(self, uri: Uri, /) -> ByteStream:
        with dial(uri) as current, phase("tcp"):
            now = anyio.current_time() - self.start
            self.times.append(now)
            self._last.append(now)
            while now - self._last[0] >= 1.0:
                self._last.popleft()
            if OUTAGE[0] <= now < OUTAGE[1] or len(self._last) > CAPACITY:
                raise ConnectRefused("too busy")
            self.served.append(now)
            return current.established(stream_pair()[0])

    def load(self, start: float, end: float) -> float:
        """Dials that reach it for each one that its clients need."""
        return sum(start <= time < end for time in self.times) / ((end - start) * CLIENTS)

    def answers(self, start: float, end: float) -> float:
        """The share of its clients' dials that it answers."""
        return sum(start <= time < end for time in self.served) / ((end - start) * CLIENTS)


async def storm(builder: ServiceBuilder) -> Server:
    server = Server()
    stack = builder.service(server)

    async def client(stack: Stack) -> None:
        try:
            await (await stack(TARGET)).aclose()
        except ConnectError:
            pass

    async with anyio.create_task_group() as tasks:
        for _ in range(SECONDS * CLIENTS):
            tasks.start_soon(client, stack)
            await anyio.sleep(1 / CLIENTS)
    return server


async def test_without_retries_the_outage_ends_when_it_ends() -> None:
    server = await storm(ServiceBuilder())
    assert server.load(0, SECONDS) == 1.0
    assert server.answers(*OUTAGE) == 0.0
    assert server.answers(OUTAGE[1], SECONDS) == 1.0


async def test_without_a_budget_retries_keep_the_server_down() -> None:
    server = await storm(ServiceBuilder().retry(RetryPolicy(3, backoff=BACKOFF)))
    assert server.load(*OUTAGE) > 2.0
    assert server.load(8.0, SECONDS) > 2.9
    assert server.answers(8.0, SECONDS) == 0.0


async def test_with_a_budget_they_add_little_and_the_server_recovers() -> None:
    budget = RetryBudget(4.0, per_success=0.1, per_second=1.0)
    server = await storm(ServiceBuilder().retry(RetryPolicy(3, backoff=BACKOFF, budget=budget)))
    retries = len(server.times) - SECONDS * CLIENTS
    assert server.load(*OUTAGE) < 1.25
    assert retries <= 4.0 + 0.1 * len(server.served) + 1.0 * SECONDS
    assert server.answers(OUTAGE[1], SECONDS) == 1.0


async def test_with_a_breaker_below_there_is_next_to_no_load_while_it_is_down() -> None:
    breaker = Breaker(5, cooldown=Backoff(0.5, factor=1.0, jitter=0.0))
    server = await storm(ServiceBuilder().retry(RetryPolicy(3, backoff=BACKOFF)).circuit_breaker(breaker))
    assert server.load(OUTAGE[0] + 1.0, OUTAGE[1]) < 0.25
    assert server.answers(5.0, SECONDS) >= 0.99


async def test_a_thousand_dials_that_fail_together_do_not_all_come_back() -> None:
    """envoy #30205: retries that still waited were not counted, so that all thousand found a full budget."""
    server = Server()
    server.start -= OUTAGE[0]
    budget = RetryBudget(10.0, per_second=0.0)
    stack = ServiceBuilder().retry(RetryPolicy(3, backoff=BACKOFF, budget=budget)).service(server)

    async def client() -> None:
        try:
            await stack(TARGET)
        except ConnectError:
            pass

    async with anyio.create_task_group() as tasks:
        for _ in range(1000):
            tasks.start_soon(client)
    assert len(server.times) == 1010
