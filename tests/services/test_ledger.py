"""A dial has one record; each failure names the phase that was running and whose limit it was."""

from __future__ import annotations

import gc
import pickle
import re
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import pytest
from anyio.abc import TaskStatus
from anyio.lowlevel import checkpoint
from hypothesis import example, given
from hypothesis import strategies as st

from ziggurat.layers.testing import stream_pair
from ziggurat.services import (
    ConnectError,
    ConnectTimeout,
    DialAttribute,
    Ledger,
    Limit,
    WrappedStream,
    dial,
    phase,
)
from ziggurat.services.uri import Uri

TARGET = Uri("http", "target.example", 80)
PROXY = Uri("socks5", "proxy.example", 1080)


@contextmanager
def failing() -> Iterator[list[ConnectError]]:
    """Catch the error of a dial and hand it out in a list."""
    caught: list[ConnectError] = []
    try:
        yield caught
    except ConnectError as error:
        caught.append(error)
    assert caught, "nothing failed"


def shown(ledger: Ledger) -> list[tuple[str, float | None, str]]:
    return [(p.name, None if p.elapsed is None else round(p.elapsed, 6), p.outcome) for p in ledger.phases]


# --- one dial, or another one ---------------------------------------------------------------------------------------


async def test_the_first_call_opens_the_dial_and_the_ones_below_join_it() -> None:
    with dial(TARGET) as outer:
        with dial(PROXY) as inner:
            assert inner.ledger is outer.ledger
            assert not inner.owner
        assert outer.ledger.running
    assert outer.owner
    assert outer.ledger.target == TARGET
    assert not outer.ledger.running


async def test_two_dials_in_a_row_are_two() -> None:
    with dial(TARGET) as one:
        pass
    with dial(TARGET) as two:
        pass

    assert one.ledger is not two.ledger
    assert two.owner
    assert one.ledger.id != two.ledger.id
    assert re.fullmatch("[0-9a-f]{8}", one.ledger.id)
    assert one.ledger.id == one.ledger.id


async def test_dials_of_tasks_side_by_side_do_not_mix() -> None:
    ledgers: dict[str, Ledger] = {}

    async def work(name: str) -> None:
        with dial(Uri("http", name, 80)) as current, phase(name):
            ledgers[name] = current.ledger
            await anyio.sleep(1)
            with phase(f"{name}.again"):
                await anyio.sleep(1)

    async with anyio.create_task_group() as group:
        group.start_soon(work, "a")
        group.start_soon(work, "b")

    assert [p.name for p in ledgers["a"].phases] == ["a", "a.again"]
    assert [p.name for p in ledgers["b"].phases] == ["b", "b.again"]


async def test_a_task_started_inside_of_a_dial_joins_it() -> None:
    async def attempt(name: str) -> None:
        with dial(PROXY) as current, phase(name):
            assert not current.owner
            await anyio.sleep(1)

    with dial(TARGET) as current:
        async with anyio.create_task_group() as group:
            group.start_soon(attempt, "one")
            group.start_soon(attempt, "two")

    assert sorted(p.name for p in current.ledger.phases) == ["one", "two"]


async def test_a_task_that_a_dial_left_behind_opens_a_dial_of_its_own() -> None:
    goes_on = anyio.Event()
    later: list[bool] = []

    async def background(*, task_status: TaskStatus[None]) -> None:
        task_status.started()
        await goes_on.wait()
        with pytest.raises(RuntimeError, match=re.escape("phase('late') outside of a dial")), phase("late"):
            pass
        with dial(PROXY) as own, phase("own"):
            later.append(own.owner)
            assert own.ledger is not ended.ledger
            assert own.ledger.target == PROXY

    async with anyio.create_task_group() as group:
        with dial(TARGET) as ended:
            await group.start(background)
        goes_on.set()

    assert later == [True]
    assert ended.ledger.phases == []


async def test_a_phase_outside_of_a_dial_is_an_error_that_says_what_to_do() -> None:
    with (
        pytest.raises(RuntimeError, match=r"phase\('my.step'\) outside of a dial: put `with dial\(uri\):`"),
        phase("my.step"),
    ):
        pass
    with dial(TARGET):
        pass
    with pytest.raises(RuntimeError), phase("my.step"):
        pass


# --- the record -------------------------------------------------------------------------------------------------------


async def test_phases_are_recorded_in_order_with_start_time_outcome_and_via() -> None:
    with dial(TARGET) as current:
        with phase("dns", via="proxy.example:1080") as dns:
            assert dns.outcome == "running"
            assert dns.elapsed is None
            await anyio.sleep(0.5)
        await anyio.sleep(0.25)
        with phase("tcp") as tcp:
            tcp.sent, tcp.received = 3, 4
            await anyio.sleep(1)
    await anyio.sleep(5)

    ledger = current.ledger
    assert shown(ledger) == [("dns", 0.5, "ok"), ("tcp", 1.0, "ok")]
    assert (dns.via, tcp.via) == ("proxy.example:1080", None)
    assert round(tcp.start, 6) == 0.75
    assert round(ledger.elapsed, 6) == 1.75
    assert str(ledger) == "dns 0.50 s, tcp 1.00 s"
    assert "Phase(dns via proxy.example:1080: 0.500 s, ok)" in repr(ledger)


async def test_the_time_of_a_running_dial_grows() -> None:
    with dial(TARGET) as current:
        await anyio.sleep(2)

        assert round(current.ledger.elapsed, 6) == 2


async def test_a_note_is_an_entry_that_took_no_time() -> None:
    with dial(TARGET) as current:
        await anyio.sleep(1)
        current.ledger.note("keepalive", "no socket", via="proxy")

    (entry,) = current.ledger.phases
    assert (entry.name, entry.note, entry.via, entry.elapsed, entry.outcome) == (
        "keepalive",
        "no socket",
        "proxy",
        0.0,
        "ok",
    )
    assert round(entry.start, 6) == 1


async def test_the_error_brings_target_phase_via_time_and_the_whole_ledger() -> None:
    with failing() as caught, dial(TARGET) as current:
        current.ledger.sent_to_target = True
        with dial(PROXY):
            with phase("tcp"):
                await anyio.sleep(0.5)
            with phase("proxy.greeting", via="proxy.example:1080"):
                await anyio.sleep(0.25)
                raise ConnectError("it broke")

    (error,) = caught
    assert error.target == TARGET
    assert (error.phase, error.via) == ("proxy.greeting", "proxy.example:1080")
    assert error.elapsed == pytest.approx(0.75)
    assert error.ledger is current.ledger
    assert error.sent_to_target
    assert shown(current.ledger) == [("tcp", 0.5, "ok"), ("proxy.greeting", 0.25, "failed")]


async def test_the_innermost_phase_is_the_one_that_failed() -> None:
    with failing() as caught, dial(TARGET), phase("outer", via="o"), phase("inner"):
        raise ConnectError("it broke")

    assert (caught[0].phase, caught[0].via) == ("inner", None)


async def test_an_error_of_another_dial_keeps_its_own_record() -> None:
    with failing() as caught, dial(PROXY) as first, phase("tcp"):
        raise ConnectError("it broke")
    with failing() as again, dial(TARGET), phase("shared"):
        raise caught[0]

    assert again[0].ledger is first.ledger
    assert (again[0].target, again[0].phase) == (PROXY, "tcp")


@pytest.mark.parametrize("problem", [ValueError("x"), OSError("x"), KeyboardInterrupt("x")])
async def test_a_foreign_error_passes_as_it_is_and_the_phase_has_failed(problem: BaseException) -> None:
    with pytest.raises(type(problem)) as caught, dial(TARGET) as current, phase("tcp"):
        raise problem

    assert caught.value is problem
    assert current.ledger.phases[0].outcome == "failed"
    assert not current.ledger.running


# --- limits -----------------------------------------------------------------------------------------------------------


async def test_the_limit_of_a_phase_is_enforced_and_carries_its_name() -> None:
    with failing() as caught, dial(TARGET) as current, phase("tls", via="name", limit=2.0) as entry:
        await anyio.sleep_forever()

    (error,) = caught
    assert isinstance(error, ConnectTimeout)
    assert (error.limit, error.name, error.phase, error.via) == (2.0, "tls", "tls", "name")
    assert error.elapsed == pytest.approx(2)
    assert entry.limit == pytest.approx(2)
    assert shown(current.ledger) == [("tls", 2.0, "timeout")]
    assert error.__suppress_context__


async def test_a_limit_over_several_phases_is_one_and_each_records_what_was_left() -> None:
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


async def test_no_limit_is_none_everywhere() -> None:
    with dial(TARGET), Limit(None, "off") as limit, phase("a", limit=limit) as a, phase("b") as b:
        assert limit.left is None
        await anyio.sleep(1000)

    assert (a.limit, b.limit, a.outcome) == (None, None, "ok")


async def test_what_is_left_never_goes_below_nothing() -> None:
    with failing(), dial(TARGET), Limit(1.0, "x") as limit:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(3)
        assert limit.left == 0.0
        await checkpoint()


@pytest.mark.parametrize("seconds", [0, -1.0, float("nan")])
async def test_a_limit_that_is_not_positive_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match=re.escape(f"'mine' must be positive or None, not {seconds!r}")):
        Limit(seconds, "mine")


async def test_a_result_that_is_there_beats_the_timer() -> None:
    async def slow_but_done() -> str:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(5)
        return "result"

    with dial(TARGET) as current, Limit(1.0, "outer"), phase("tcp", limit=2.0):
        result = await slow_but_done()

    assert result == "result"
    assert shown(current.ledger) == [("tcp", 5.0, "ok")]
    await checkpoint()  # nothing of the cancellation is left


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

    # Cancelled by the outermost: the only one whose caller is still interested.
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
        "(tcp 1.00 s, outer 2.00 s, proxy.connect 2.00 s)"
    )


async def test_a_timeout_between_two_phases_names_none() -> None:
    with failing() as caught, dial(TARGET), Limit(3.0, "tunnel"):
        with phase("tcp"):
            await anyio.sleep(1)
        await anyio.sleep_forever()

    assert caught[0].phase is None


async def test_a_phase_that_came_to_its_end_is_not_blamed() -> None:
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


async def test_of_racers_that_are_cut_off_together_the_last_to_begin_is_named() -> None:
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
        entry.elapsed = (deadline - opened) - entry.start  # as a phase computes it when it ends just then

        assert ledger._interrupted(deadline) is entry

    anyio.run(main)


# --- the answer -------------------------------------------------------------------------------------------------------


async def test_the_owner_puts_the_ledger_on_a_foreign_stream() -> None:
    foreign, far = stream_pair()
    with dial(TARGET) as current:
        stream = current.established(foreign)

    assert isinstance(stream, WrappedStream) == (foreign is not stream)
    assert stream.extra(DialAttribute.ledger) is current.ledger
    await stream.aclose()
    await far.aclose()


async def test_everyone_else_hands_a_stream_on_as_it_is() -> None:
    foreign, far = stream_pair()
    with dial(TARGET), dial(PROXY) as below:
        assert below.established(foreign) is foreign
    await foreign.aclose()
    await far.aclose()


async def test_our_own_stream_is_not_wrapped() -> None:
    foreign, far = stream_pair()
    ours = WrappedStream(foreign)
    with dial(TARGET) as current:
        assert current.established(ours) is ours
    assert ours.ledger is current.ledger
    await ours.aclose()
    await far.aclose()


async def test_a_timeout_that_is_dropped_is_freed_at_once() -> None:
    gc.disable()  # what a cycle keeps alive would be freed by the next collection
    try:
        with pytest.raises(ConnectTimeout) as caught, dial(TARGET), Limit(1.0, "total"):
            await anyio.sleep(2.0)
        gone = weakref.ref(caught.value)
        del caught
        assert gone() is None
    finally:
        gc.enable()


async def test_a_copy_of_a_running_ledger_is_what_happened_up_to_now() -> None:
    with dial(TARGET) as current:
        with phase("tcp"):
            await anyio.sleep(1.0)
        kept = pickle.loads(pickle.dumps(current.ledger))
        await anyio.sleep(1.0)

    assert kept.elapsed == pytest.approx(1.0)
    assert not kept.running
    assert [entry.name for entry in kept.phases] == ["tcp"]
