"""The error of a limit has its name and the phase that it cut off."""

from __future__ import annotations

import gc
import math
import re
import weakref

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import example, given
from hypothesis import strategies as st

from tests.services.dials import TARGET, failing, shown
from ziggurat.services import (
    ConnectTimeout,
    Ledger,
    Limit,
    dial,
    phase,
)
from ziggurat.services.limit import expired_limit


async def test_the_limit_of_a_phase_is_enforced_and_has_its_name() -> None:
    with failing() as caught, dial(TARGET) as current, phase("tls", via="name", limit=2.0) as entry:
        await anyio.sleep_forever()

    (error,) = caught
    assert isinstance(error, ConnectTimeout)
    assert (error.limit, error.name, error.phase, error.via) == (2.0, "tls", "tls", "name")
    assert error.elapsed == pytest.approx(2)
    assert entry.limit == pytest.approx(2)
    assert shown(current.ledger) == [("tls", 2.0, "timeout")]
    assert error.__suppress_context__


async def test_phases_can_share_a_limit_and_each_records_the_time_left() -> None:
    with failing() as caught, dial(TARGET) as current, Limit(10.0, "handshake_timeout") as limit:
        with phase("proxy.greeting", limit=limit):
            await anyio.sleep(4)
        with phase("proxy.auth", via="p", limit=limit):
            await anyio.sleep(7)

    (error,) = caught
    assert isinstance(error, ConnectTimeout)
    assert (error.limit, error.name, error.phase, error.via) == (10.0, "handshake_timeout", "proxy.auth", "p")
    assert [p.limit and round(p.limit, 6) for p in current.ledger.phases] == [10.0, 6.0]
    assert shown(current.ledger) == [("proxy.greeting", 4.0, "ok"), ("proxy.auth", 6.0, "timeout")]


async def test_without_a_limit_the_time_left_is_none() -> None:
    with dial(TARGET), Limit(None, "off") as limit, phase("a", limit=limit) as a, phase("b") as b:
        assert limit.left is None
        await anyio.sleep(1000)

    assert (a.limit, b.limit, a.outcome) == (None, None, "ok")


async def test_the_time_left_is_never_negative() -> None:
    with failing(), dial(TARGET), Limit(1.0, "x") as limit:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(3)
        assert limit.left == 0.0
        await checkpoint()


@pytest.mark.parametrize("seconds", [0, -1.0, math.nan, math.inf])
async def test_a_limit_that_is_not_positive_and_finite_is_refused(seconds: float) -> None:
    text = f"the limit 'mine' must be a positive number of seconds or None, not {seconds!r}"
    with pytest.raises(ValueError, match=re.escape(text)):
        Limit(seconds, "mine")


async def test_a_limit_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(TypeError, match="the limit 'mine' must be a positive number of seconds or None, not '2'"):
        Limit("2", "mine")  # type: ignore[arg-type]


async def test_a_result_that_is_ready_beats_the_limit() -> None:
    async def slow_but_done() -> str:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(5)
        return "result"

    with dial(TARGET) as current, Limit(1.0, "outer"), phase("tcp", limit=2.0):
        result = await slow_but_done()

    assert result == "result"
    assert shown(current.ledger) == [("tcp", 5.0, "ok")]
    await checkpoint()  # no cancellation is left over


async def test_an_inner_timeout_keeps_its_name() -> None:
    with failing() as caught, dial(TARGET), Limit(5.0, "outer"), phase("tcp", limit=1.0):
        await anyio.sleep_forever()

    assert isinstance(caught[0], ConnectTimeout)
    assert (caught[0].name, caught[0].limit) == ("tcp", 1.0)


async def test_an_inner_timeout_keeps_its_name_when_both_run_out_at_once() -> None:
    with failing() as caught, dial(TARGET), Limit(1.0, "outer"), phase("tcp", limit=0.5):
        with anyio.CancelScope(shield=True):
            await anyio.sleep(3)
        await anyio.sleep_forever()

    # The outermost limit decides, but either name is correct.
    assert isinstance(caught[0], ConnectTimeout)
    assert caught[0].name in {"outer", "tcp"}
    assert caught[0].phase == "tcp"


@pytest.mark.parametrize("problem", [TimeoutError("theirs"), ConnectTimeout(3.0, "theirs")])
async def test_a_timeout_error_from_below_is_not_renamed(problem: TimeoutError) -> None:
    with pytest.raises(TimeoutError) as caught, dial(TARGET), Limit(5.0, "ours"), phase("tcp", limit=4.0):
        raise problem

    assert caught.value is problem


async def test_an_outer_limit_names_the_innermost_phase_that_it_cut_off() -> None:
    with failing() as caught, dial(TARGET) as current, Limit(3.0, "tunnel"):
        with phase("tcp"):
            await anyio.sleep(1)
        with phase("outer", via="o"), phase("proxy.connect", via="p"):
            await anyio.sleep_forever()

    (error,) = caught
    assert isinstance(error, ConnectTimeout)
    assert (error.name, error.phase, error.via) == ("tunnel", "proxy.connect", "p")
    assert shown(current.ledger)[1:] == [("outer", 2.0, "cancelled"), ("proxy.connect", 2.0, "timeout")]
    assert str(error) == (
        "http://target.example:80: proxy.connect via p failed after 3.00 s: the limit 'tunnel' of 3 s ran out "
        "(tcp 1.00, outer 2.00, proxy.connect 2.00 s)"
    )


async def test_a_timeout_between_two_phases_names_none() -> None:
    with failing() as caught, dial(TARGET), Limit(3.0, "tunnel"):
        with phase("tcp"):
            await anyio.sleep(1)
        await anyio.sleep_forever()

    assert caught[0].phase is None


async def test_a_phase_that_finished_is_not_blamed() -> None:
    with failing() as caught, dial(TARGET) as current, Limit(1.0, "tunnel"):
        with phase("tcp"), anyio.CancelScope(shield=True):
            await anyio.sleep(3)
        await anyio.sleep_forever()

    assert caught[0].phase is None
    assert shown(current.ledger) == [("tcp", 3.0, "ok")]


async def test_the_loser_of_an_earlier_race_is_not_blamed() -> None:
    async def loser() -> None:
        with phase("lost"):
            await anyio.sleep_forever()

    with failing() as caught, dial(TARGET) as current, Limit(5.0, "tunnel"):
        async with anyio.create_task_group() as group:
            group.start_soon(loser)
            await anyio.sleep(1)
            group.cancel_scope.cancel()
        await anyio.sleep_forever()

    assert caught[0].phase is None
    assert shown(current.ledger) == [("lost", 1.0, "cancelled")]


async def test_of_racing_phases_the_last_to_begin_is_named() -> None:
    async def racer(name: str, delay: float) -> None:
        await anyio.sleep(delay)
        with phase(name):
            await anyio.sleep_forever()

    with failing() as caught, dial(TARGET), Limit(5.0, "tunnel"):
        async with anyio.create_task_group() as group:
            group.start_soon(racer, "second", 2.0)
            group.start_soon(racer, "first", 1.0)

    assert caught[0].phase == "second"


async def test_a_cancellation_from_outside_is_not_renamed() -> None:
    with anyio.move_on_after(1) as scope, dial(TARGET) as current, Limit(5.0, "tunnel"), phase("tcp", limit=4.0):
        await anyio.sleep_forever()

    assert scope.cancelled_caught
    assert shown(current.ledger) == [("tcp", 1.0, "cancelled")]
    assert not current.ledger.running


@given(st.floats(0, 1e6), st.floats(0, 1e3), st.floats(0.001, 1e3))
@example(43.89775833847365, 92.67230210815956, 86.01715715530347)
def test_rounding_does_not_hide_the_phase_that_was_cut_off(opened: float, before: float, limit: float) -> None:
    async def main() -> None:
        ledger = Ledger(TARGET)
        ledger._start = opened
        begin, deadline = opened + before, (opened + before) + limit
        ledger.note("tcp", "")
        (entry,) = ledger.phases
        entry.start, entry.outcome = begin - opened, "cancelled"
        entry.elapsed = (deadline - opened) - entry.start  # as a phase computes it if it ends exactly then

        assert ledger._interrupted(deadline) is entry

    anyio.run(main)


async def test_a_dropped_timeout_is_freed_at_once() -> None:
    gc.disable()  # a cycle would be freed by the next collection
    try:
        with pytest.raises(ConnectTimeout) as caught, dial(TARGET), Limit(1.0, "total"):
            await anyio.sleep(2.0)
        gone = weakref.ref(caught.value)
        del caught
        assert gone() is None
    finally:
        gc.enable()


async def test_a_cancelled_layer_can_ask_which_limit_ran_out() -> None:
    seen: list[ConnectTimeout | None] = []
    with failing(), dial(TARGET), Limit(9.0, "outer"), Limit(3.0, "inner"), Limit(5.0, "innermost"):
        assert expired_limit() is None
        try:
            with phase("tcp", via="p"):
                await anyio.sleep_forever()
        finally:
            seen.append(expired_limit())

    [timeout] = seen
    assert timeout is not None
    assert (timeout.name, timeout.limit, timeout.phase, timeout.via) == ("inner", 3.0, "tcp", "p")
    assert expired_limit() is None


async def test_no_limit_has_expired_if_the_cancellation_has_another_reason() -> None:
    seen: list[ConnectTimeout | None] = []
    with anyio.move_on_after(1), dial(TARGET), Limit(3.0, "mine"):
        try:
            await anyio.sleep_forever()
        finally:
            seen.append(expired_limit())
    assert seen == [None]
