from __future__ import annotations

import asyncio

import anyio
import pytest
from anyio.abc import ByteStream

from tests.layers.scripted import Leaf
from ziggurat.layers.concurrency_limit import ConcurrencyLimitLayer, Hold
from ziggurat.layers.keyed_limiter import KeyedLimiter
from ziggurat.layers.keys import by_network
from ziggurat.layers.testing import check_layer
from ziggurat.services import Connector, LimitExceeded, Uri

A, B = Uri.parse("http://a.test:80"), Uri.parse("http://b.test:80")


@pytest.mark.parametrize("hold", ["dial", "stream"])
async def test_it_keeps_the_contracts_and_keeps_no_idle_key(hold: Hold) -> None:
    limiter = KeyedLimiter(1)
    await check_layer(ConcurrencyLimitLayer(limiter, hold=hold, max_wait=900.0), shared=True, transparent=True)
    assert (limiter.held, limiter.keys) == (0, 0)


async def test_each_key_has_its_own_permits() -> None:
    limiter = KeyedLimiter(1)
    connector = ConcurrencyLimitLayer(limiter, mode="reject", hold="stream").layer(Leaf())
    stream = await connector(A)
    other = await connector(B)
    assert (limiter.held, limiter.keys) == (2, 2)
    with pytest.raises(LimitExceeded, match="all 1 permits in use"):
        await connector(A)
    await stream.aclose()
    assert (limiter.held, limiter.keys) == (1, 1)
    await (await connector(A)).aclose()
    await other.aclose()
    assert limiter.keys == 0


async def test_addresses_of_one_network_share_permits() -> None:
    limiter = KeyedLimiter(2, key=by_network)
    connector = ConcurrencyLimitLayer(limiter, mode="reject", hold="stream").layer(Leaf())
    streams = [await connector(Uri.parse(f"http://10.1.{n}.1:80")) for n in range(2)]
    with pytest.raises(LimitExceeded):
        await connector(Uri.parse("http://10.1.99.1:80"))
    streams.append(await connector(Uri.parse("http://10.2.0.1:80")))
    for stream in streams:
        await stream.aclose()


async def test_waiters_of_a_key_are_served_in_order_and_leave_nothing() -> None:
    limiter = KeyedLimiter(1)
    order: list[int] = []

    async def leaf(uri: Uri, /) -> ByteStream:
        await anyio.sleep(1.0)
        return await Leaf()(uri)

    async def run(connector: Connector, number: int) -> None:
        await connector(A)
        order.append(number)

    connector = ConcurrencyLimitLayer(limiter).layer(leaf)
    async with anyio.create_task_group() as tasks:
        for number in range(4):
            tasks.start_soon(run, connector, number)
            await anyio.wait_all_tasks_blocked()
        assert (limiter.held, limiter.keys) == (1, 1)
    assert order == [0, 1, 2, 3]
    assert limiter.keys == 0


@pytest.mark.parametrize("cancel_first", [True, False])
async def test_a_waiter_cancelled_and_served_at_once_leaves_no_key(cancel_first: bool) -> None:
    limiter = KeyedLimiter(1)
    permits = limiter.of(A)
    assert permits.acquire_nowait()

    scope = anyio.CancelScope()
    served = 0

    async def wait() -> None:
        nonlocal served
        with scope:
            await limiter.of(A).acquire()
            served += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        for step in (scope.cancel, permits.release) if cancel_first else (permits.release, scope.cancel):
            step()
    assert (limiter.held, limiter.keys) == (served, served)


@pytest.mark.asyncio_only
async def test_a_permit_handed_to_a_task_that_asyncio_cancels_leaves_no_key() -> None:
    """asyncio's own cancellation arrives although the permit did: the semaphore takes it back."""
    limiter = KeyedLimiter(1)
    permits = limiter.of(A)
    assert permits.acquire_nowait()
    task = asyncio.ensure_future(permits.acquire())
    await anyio.wait_all_tasks_blocked()
    permits.release()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (limiter.held, limiter.keys) == (0, 0)


async def test_a_million_hosts_once_each_take_no_memory() -> None:
    limiter = KeyedLimiter(3)
    connector = ConcurrencyLimitLayer(limiter).layer(Leaf())
    for number in range(200):
        await connector(Uri("http", f"{number}.test", 80))
        assert limiter.keys == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"total": 0}, "total must be a whole number"),
        ({"total": 1, "key": 3}, "key must be a function of the Uri"),
    ],
)
def test_wrong_settings_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        KeyedLimiter(**arguments)  # type: ignore[arg-type]


def test_repr_shows_the_settings() -> None:
    assert repr(KeyedLimiter(3)) == "KeyedLimiter(total=3, key=by_host, keys=0)"
