from __future__ import annotations

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st

from ziggurat.layers.rate_limit.window import Window


async def test_a_window_starts_with_its_first_take() -> None:
    window = Window(2, 1.0)
    await anyio.sleep(0.75)
    assert [window.take() for _ in range(3)] == [True, True, False]
    assert window.wait == 1.0
    await anyio.sleep(0.5)
    assert not window.take()
    await anyio.sleep(0.5)
    assert [window.take() for _ in range(3)] == [True, True, False]


async def test_what_was_left_of_a_window_is_not_kept() -> None:
    """tower limit/rate.rs: the remaining count is reset with the window (remaining_gets_reset)."""
    window = Window(3, 1.0)
    assert window.take()
    await anyio.sleep(1.0)
    assert [window.take() for _ in range(4)] == [True, True, True, False]


async def test_it_is_as_new_after_its_window() -> None:
    window = Window(1, 1.0)
    assert window.idle
    window.take()
    assert (window.idle, window.wait) == (False, 1.0)
    await anyio.sleep(1.0)
    assert (window.idle, window.wait) == (True, 0.0)


@settings(max_examples=30)
@given(st.integers(1, 10000), st.integers(0, 10000))
async def test_the_computed_wait_suffices(per: int, pause: int) -> None:
    window = Window(1, per / 8)
    window.take()
    await anyio.sleep(pause / 8)
    if not window.take():
        await anyio.sleep(window.wait)
        assert window.take()


def test_a_window_of_another_loop_whose_clock_is_ahead_is_over() -> None:
    window = Window(1, 1.0)

    async def take() -> bool:
        return window.take()

    assert anyio.run(take)
    window._start = 1e18
    assert anyio.run(take)
