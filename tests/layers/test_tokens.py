from __future__ import annotations

import math

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st

from ziggurat.layers.tokens import Tokens


async def test_it_is_full_at_first() -> None:
    tokens = Tokens(2.0, 1.0)
    assert [tokens.take() for _ in range(3)] == [True, True, False]


async def test_wait_is_the_time_until_the_next_one() -> None:
    tokens = Tokens(1.0, 4.0)
    assert tokens.wait == 0.0
    tokens.take()
    assert tokens.wait == 0.25
    await anyio.sleep(0.1)
    assert math.isclose(tokens.wait, 0.15)
    assert not tokens.take()


async def test_without_a_refill_the_wait_is_endless() -> None:
    tokens = Tokens(1.0, 0.0)
    tokens.take()
    assert tokens.wait == math.inf


@settings(max_examples=30)
@given(st.lists(st.integers(1, 800), max_size=20), st.integers(-3, 3))
async def test_the_computed_wait_suffices(pauses: list[int], exponent: int) -> None:
    tokens = Tokens(1.0, 2.0**exponent)
    for pause in pauses:
        tokens.take()
        await anyio.sleep(pause / 8)
        if not tokens.take():
            await anyio.sleep(tokens.wait)
            assert tokens.take()


def test_another_loops_clock_may_be_behind() -> None:
    tokens = Tokens(1.0, 1.0)

    async def left() -> float:
        return tokens.left

    assert anyio.run(left, backend="trio") == 1.0
    tokens._since = 1e18
    assert anyio.run(left) == 1.0
