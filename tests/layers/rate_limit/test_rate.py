from __future__ import annotations

from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ziggurat.layers.keys import by_host
from ziggurat.layers.rate_limit.rate import FixedWindow, Rate, TokenBucket
from ziggurat.services import Uri


def host(name: object) -> Uri:
    return Uri("http", f"{name}.test", 80)


@pytest.mark.parametrize("make", [TokenBucket, FixedWindow])
async def test_each_key_has_its_own_rate(make: type[TokenBucket] | type[FixedWindow]) -> None:
    rate = make(1, 1.0, key=by_host)
    assert [rate.gate(host(name)).enter_nowait() for name in "abab"] == [True, True, False, False]
    assert rate.keys == 2


async def test_without_a_key_there_is_one_rate() -> None:
    rate = TokenBucket(1)
    assert [rate.gate(host(name)).enter_nowait() for name in "ab"] == [True, False]
    assert rate.keys == 1


async def test_a_burst_may_differ_from_the_rate() -> None:
    rate = TokenBucket(1, 2.0, burst=3)
    assert [rate.gate(host("a")).enter_nowait() for _ in range(4)] == [True, True, True, False]
    await anyio.sleep(2.0)
    assert [rate.gate(host("a")).enter_nowait() for _ in range(2)] == [True, False]


@pytest.mark.parametrize("rate", [TokenBucket(2, 1.0, key=by_host), FixedWindow(2, 1.0, key=by_host)], ids=repr)
async def test_keys_that_are_idle_are_forgotten(rate: Rate) -> None:
    """A limiter for each address that ever dialled would be a leak."""
    most = 0
    for number in range(500):
        assert rate.gate(host(number)).enter_nowait()
        most = max(most, rate.keys)
        await anyio.sleep(0.125)  # eight hosts a second, each idle after one
    assert most < 30


async def test_a_key_in_use_is_not_forgotten() -> None:
    rate = FixedWindow(1, 100.0, key=by_host)
    assert rate.gate(host("a")).enter_nowait()
    for number in range(50):
        rate.gate(host(number))
    assert not rate.gate(host("a")).enter_nowait()


@settings(max_examples=40)
@given(
    count=st.sampled_from([1, 2, 4]),
    burst=st.integers(1, 5),
    arrivals=st.lists(st.integers(0, 40), min_size=1, max_size=40),
)
async def test_in_any_time_no_more_than_the_bucket_lets_through(count: int, burst: int, arrivals: list[int]) -> None:
    rate = TokenBucket(count, 1.0, burst=burst)
    passed: list[float] = []

    async def enter(at: float) -> None:
        await anyio.sleep(at)
        await rate.gate(host("a")).enter()
        passed.append(anyio.current_time())

    async with anyio.create_task_group() as tasks:
        for at in arrivals:
            tasks.start_soon(enter, at / 8)
    assert len(passed) == len(arrivals)
    for first in range(len(passed)):
        for last in range(first, len(passed)):
            assert last - first + 1 <= burst + count * (passed[last] - passed[first]) + 1e-6
    assert rate.waiting == 0


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (TokenBucket, {"count": 0}, "count must be above 0"),
        (TokenBucket, {"count": -1}, "count must be a number of at least 0, not -1"),
        (TokenBucket, {"count": 1, "per": 0}, "per must be a positive number of seconds, not 0"),
        (TokenBucket, {"count": 1, "burst": 0.5}, "burst must be a number of at least 1, not 0.5"),
        (TokenBucket, {"count": 1, "key": "host"}, "key must be a function of the Uri or None, not 'host'"),
        (FixedWindow, {"count": 0}, r"count must be a whole number \(at least 1\), not 0"),
        (FixedWindow, {"count": 1.5}, r"count must be a whole number \(at least 1\), not 1.5"),
        (FixedWindow, {"count": 1, "per": None}, "per must be a positive number of seconds, not None"),
    ],
)
def test_wrong_settings_are_refused(make: type[Any], arguments: dict[str, object], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        make(**arguments)


def test_repr_shows_the_settings() -> None:
    assert repr(TokenBucket(0.5, 2.0, burst=3, key=by_host)) == "TokenBucket(0.5 per 2 s, bursts of 3, key=by_host)"
    assert repr(FixedWindow(5)) == "FixedWindow(5 per 1 s)"
