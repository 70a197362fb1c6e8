from __future__ import annotations

import anyio
import pytest

from tests.layers.scripted import TARGET, Leaf, refused
from ziggurat.layers import FixedWindow, RateLimitLayer, RetryLayer, RetryPolicy, ServiceBuilder, TokenBucket, by_host
from ziggurat.layers.rate_limit.rate import Rate
from ziggurat.layers.testing import check_layer
from ziggurat.services import Backoff, ConnectError, ConnectTimeout, LimitExceeded


@pytest.mark.parametrize(
    "rate", [TokenBucket(4, 1.0, burst=1), FixedWindow(1, 0.25), TokenBucket(4, 1.0, key=by_host)], ids=repr
)
async def test_it_keeps_the_contracts_of_a_layer(rate: Rate) -> None:
    await check_layer(RateLimitLayer(rate), transparent=True, shared=True)
    assert rate.waiting == 0


async def test_dials_beyond_the_rate_wait_for_their_turn() -> None:
    leaf = Leaf()
    connector = RateLimitLayer(TokenBucket(2, 1.0)).layer(leaf)
    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(connector, TARGET)
    assert leaf.calls == [0.0, 0.0, 0.5, 1.0, 1.5]


async def test_a_window_lets_all_through_at_once() -> None:
    leaf = Leaf()
    connector = RateLimitLayer(FixedWindow(2, 1.0)).layer(leaf)
    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(connector, TARGET)
    assert leaf.calls == [0.0, 0.0, 1.0, 1.0, 2.0]


async def test_rejecting_does_not_wait_and_says_when_to_come_again() -> None:
    connector = RateLimitLayer(FixedWindow(1, 2.0), mode="reject").layer(Leaf())
    await connector(TARGET)
    await anyio.sleep(0.5)
    with pytest.raises(LimitExceeded) as caught:
        await connector(TARGET)
    assert (caught.value.phase, caught.value.retry_after, caught.value.transient) == ("admission", 1.5, True)
    assert str(caught.value) == (
        "http://target.test:80: admission failed after 0.00 s: more dials than 1 per 2 s; "
        "try again in 1.50 s or raise the rate"
    )


async def test_a_retry_above_waits_as_long_as_it_is_told() -> None:
    leaf = Leaf()
    limited = RateLimitLayer(FixedWindow(1, 8.0), mode="reject").layer(leaf)
    connector = RetryLayer(RetryPolicy(backoff=Backoff(0.5, jitter=0.0))).layer(limited)
    await connector(TARGET)
    await connector(TARGET)
    assert leaf.calls == [0.0, 8.0]


async def test_max_wait_and_max_waiting_bound_the_queue() -> None:
    rate = TokenBucket(1, 4.0)
    connector = RateLimitLayer(rate, max_wait=2.0, max_waiting=1).layer(Leaf())
    await connector(TARGET)
    async with anyio.create_task_group() as tasks:

        async def wait() -> None:
            with pytest.raises(ConnectTimeout) as caught:
                await connector(TARGET)
            assert (caught.value.name, caught.value.phase) == ("max_wait", "admission")

        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(LimitExceeded, match="more dials than 1 per 4 s, 1 waiting"):
            await connector(TARGET)
    assert rate.waiting == 0


async def test_a_failed_dial_counts() -> None:
    connector = RateLimitLayer(FixedWindow(1, 1.0), mode="reject").layer(Leaf(*refused(1)))
    with pytest.raises(ConnectError, match="connection refused"):
        await connector(TARGET)
    with pytest.raises(LimitExceeded):
        await connector(TARGET)


async def test_stacks_share_a_rate() -> None:
    layer = RateLimitLayer(FixedWindow(1, 1.0), mode="reject")
    await layer.layer(Leaf())(TARGET)
    with pytest.raises(LimitExceeded):
        await layer.layer(Leaf())(TARGET)


def test_it_says_which_dials_of_a_retry_count() -> None:
    below = ServiceBuilder().retry().rate_limit(TokenBucket(1)).service(Leaf())
    above = ServiceBuilder().rate_limit(TokenBucket(1)).retry().service(Leaf())
    assert [remark.text for stack in (below, above) for remark in stack.remarks(TARGET)] == [
        "RetryLayer > RateLimitLayer: each attempt counts, and waits for its turn",
        "RateLimitLayer > RetryLayer: a dial counts once, however many attempts it makes, so that more may go out than "
        "the rate says",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rate": 10}, "rate must be a TokenBucket or a FixedWindow, not 10"),
        ({"mode": "shed"}, "mode must be .* not 'shed'"),
        ({"max_waiting": -1}, r"max_waiting must be a whole number \(at least 0\) or None, not -1"),
        ({"max_wait": 0}, "max_wait must be a positive number of seconds"),
        ({"mode": "reject", "max_wait": 1.0}, "has no queue"),
    ],
)
def test_wrong_settings_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        RateLimitLayer(**{"rate": TokenBucket(1), **arguments})  # type: ignore[arg-type]
