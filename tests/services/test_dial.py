"""A dial has one ledger; each failure names the phase that was running."""

from __future__ import annotations

import re

import anyio
import pytest
from anyio.abc import TaskStatus

from tests.services.dials import PROXY, TARGET, failing, shown
from ziggurat.layers.testing import stream_pair
from ziggurat.services import (
    ConnectError,
    DialAttribute,
    Ledger,
    WrappedStream,
    dial,
    phase,
)
from ziggurat.services.uri import Uri


async def test_the_first_call_opens_the_dial_and_calls_below_join_it() -> None:
    with dial(TARGET) as outer:
        with dial(PROXY) as inner:
            assert inner.ledger is outer.ledger
            assert not inner.owner
        assert outer.ledger.running
    assert outer.owner
    assert outer.ledger.target == TARGET
    assert not outer.ledger.running


async def test_consecutive_dials_have_separate_ledgers() -> None:
    with dial(TARGET) as one:
        pass
    with dial(TARGET) as two:
        pass

    assert one.ledger is not two.ledger
    assert two.owner
    assert one.ledger.id != two.ledger.id
    assert re.fullmatch("[0-9a-f]{8}", one.ledger.id)
    assert one.ledger.id == one.ledger.id


async def test_dials_of_concurrent_tasks_do_not_mix() -> None:
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


async def test_a_task_started_inside_a_dial_joins_it() -> None:
    async def attempt(name: str) -> None:
        with dial(PROXY) as current, phase(name):
            assert not current.owner
            await anyio.sleep(1)

    with dial(TARGET) as current:
        async with anyio.create_task_group() as group:
            group.start_soon(attempt, "one")
            group.start_soon(attempt, "two")

    assert sorted(p.name for p in current.ledger.phases) == ["one", "two"]


async def test_a_task_that_outlives_a_dial_opens_its_own() -> None:
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


async def test_a_phase_outside_of_a_dial_is_an_error_with_a_hint() -> None:
    with (
        pytest.raises(RuntimeError, match=r"phase\('my.step'\) outside of a dial: put `with dial\(uri\):`"),
        phase("my.step"),
    ):
        pass
    with dial(TARGET):
        pass
    with pytest.raises(RuntimeError), phase("my.step"):
        pass


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


async def test_the_error_has_target_phase_via_time_and_the_whole_ledger() -> None:
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


async def test_an_error_of_another_dial_keeps_its_own_ledger() -> None:
    with failing() as caught, dial(PROXY) as first, phase("tcp"):
        raise ConnectError("it broke")
    with failing() as again, dial(TARGET), phase("shared"):
        raise caught[0]

    assert again[0].ledger is first.ledger
    assert (again[0].target, again[0].phase) == (PROXY, "tcp")


@pytest.mark.parametrize("problem", [ValueError("x"), OSError("x"), KeyboardInterrupt("x")])
async def test_a_foreign_error_passes_unchanged_and_the_phase_has_failed(problem: BaseException) -> None:
    with pytest.raises(type(problem)) as caught, dial(TARGET) as current, phase("tcp"):
        raise problem

    assert caught.value is problem
    assert current.ledger.phases[0].outcome == "failed"
    assert not current.ledger.running


async def test_the_owner_puts_the_ledger_on_a_foreign_stream() -> None:
    foreign, far = stream_pair()
    with dial(TARGET) as current:
        stream = current.established(foreign)

    assert isinstance(stream, WrappedStream) == (foreign is not stream)
    assert stream.extra(DialAttribute.ledger) is current.ledger
    await stream.aclose()
    await far.aclose()


async def test_other_layers_return_a_stream_unchanged() -> None:
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
