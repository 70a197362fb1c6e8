"""A dial shared by concurrent callers."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import weakref
from typing import Any

import pytest

from tests.eager import EAGER, eagerly
from ziggurat.services import ConnectError, ConnectTimeout
from ziggurat.services.channel.shared_dial import SharedDial

pytestmark = pytest.mark.asyncio_only

loose: contextvars.ContextVar[str] = contextvars.ContextVar("loose", default="clean")


class Owner:
    """Records the callbacks of a `SharedDial`."""

    def __init__(self) -> None:
        self.outcomes: list[object] = []
        self.discarded: list[str] = []

    def share(self, dial: object) -> SharedDial[str]:
        self.shared = SharedDial[str](on_end=self.outcomes.append, discard=self.discarded.append, cut_off=self.cut_off)
        self.task = self.shared.start(dial)  # type: ignore[arg-type]
        return self.shared

    def cut_off(self, seconds: float, /, *, last: bool) -> ConnectError:
        return ConnectTimeout(seconds, "last" if last else "one of several")


async def slow() -> str:
    await asyncio.sleep(1)
    return "connected"


async def refuse() -> str:
    await asyncio.sleep(1)
    raise ConnectTimeout(1.0, "whose") from OSError("the cause")


async def test_all_callers_share_a_success() -> None:
    owner = Owner()
    shared = owner.share(slow)
    assert await asyncio.gather(*(shared.wait() for _ in range(20))) == ["connected"] * 20
    assert owner.outcomes == ["connected"]
    assert await shared.wait() == "connected"  # after the end


async def test_each_caller_gets_its_own_error_with_the_same_cause() -> None:
    owner = Owner()
    shared = owner.share(refuse)
    errors = await asyncio.gather(*(shared.wait() for _ in range(20)), return_exceptions=True)
    assert all(isinstance(error, ConnectTimeout) and error.name == "whose" for error in errors)
    assert len({id(error) for error in errors}) == 20
    assert len({id(error.__cause__) for error in errors if isinstance(error, ConnectError)}) == 1
    assert str(errors[0].__cause__) == "the cause"  # type: ignore[union-attr]
    assert len(owner.outcomes) == 1


async def test_a_caller_that_leaves_does_not_affect_the_others() -> None:
    owner = Owner()
    shared = owner.share(slow)
    staying = asyncio.create_task(shared.wait())
    leaving = asyncio.create_task(shared.wait())
    await asyncio.sleep(0.5)
    leaving.cancel()
    assert await staying == "connected"
    assert leaving.cancelled()


async def test_when_the_last_caller_has_left_the_dial_is_cancelled() -> None:
    owner = Owner()
    shared = owner.share(slow)
    waiting = [asyncio.create_task(shared.wait()) for _ in range(2)]
    await asyncio.sleep(0.5)
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    assert owner.outcomes == [None]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert owner.task.cancelled() or owner.task.done()


async def test_a_result_after_the_cancellation_is_discarded() -> None:
    owner = Owner()

    async def stubborn() -> str:
        try:
            return await slow()
        except asyncio.CancelledError:
            return "unwanted"

    shared = owner.share(stubborn)
    waiting = asyncio.create_task(shared.wait())
    await asyncio.sleep(0.5)
    waiting.cancel()
    await asyncio.wait([waiting, owner.task])
    assert owner.discarded == ["unwanted"]
    assert owner.outcomes == [None]


async def test_an_error_after_the_cancellation_is_ignored() -> None:
    owner = Owner()

    async def stubborn() -> str:
        try:
            return await slow()
        except asyncio.CancelledError:
            raise ConnectError("renamed by a careless connector") from None

    shared = owner.share(stubborn)
    shared.give_up()
    await asyncio.wait([owner.task])
    assert owner.outcomes == [None]


async def test_callers_get_the_reason_for_giving_up() -> None:
    owner = Owner()
    shared = owner.share(slow)
    waiting = [asyncio.create_task(shared.wait()) for _ in range(3)]
    await asyncio.sleep(0.5)
    shared.give_up(RuntimeError("closed"))
    shared.give_up(RuntimeError("a second reason"))
    errors = await asyncio.gather(*waiting, return_exceptions=True)
    assert [str(error) for error in errors] == ["closed"] * 3
    assert len({id(error) for error in errors}) == 3
    assert owner.outcomes == [None]


@pytest.mark.parametrize("steps", [0, 3])
async def test_cancelling_the_dials_task_does_not_leave_callers_waiting(steps: int) -> None:
    owner = Owner()
    shared = owner.share(slow)
    waiting = asyncio.create_task(shared.wait())
    if not steps:
        owner.task.cancel()  # before its first step
    for _ in range(steps):
        await asyncio.sleep(0)
    owner.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert owner.outcomes == [None]


async def test_a_bug_in_the_dial_reaches_the_caller() -> None:
    async def buggy() -> str:
        raise KeyError("a bug")

    owner = Owner()
    with pytest.raises(KeyError):
        await owner.share(buggy).wait()
    assert owner.outcomes == [None]


async def test_the_dial_runs_in_a_fresh_context() -> None:
    async def look() -> str:
        return loose.get()

    loose.set("leaked")
    assert await Owner().share(look).wait() == "clean"


async def test_a_failed_dial_is_freed_without_the_garbage_collector() -> None:
    class Holder:
        async def dial(self) -> str:
            return await refuse()

    holder = Holder()
    owner = Owner()
    shared = owner.share(holder.dial)
    gone = weakref.ref(holder)
    gc.disable()
    try:
        with pytest.raises(ConnectError):
            await shared.wait()
        await asyncio.sleep(0)
        del holder, shared
        assert gone() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("factory", EAGER)
@pytest.mark.parametrize("fails", [True, False])
async def test_with_eager_tasks_a_dial_may_end_within_start(factory: Any, fails: bool) -> None:
    async def quick() -> str:
        if fails:
            raise ConnectError("refused at once")
        return "connected"

    owner = Owner()
    with eagerly(factory):
        shared = owner.share(quick)
        assert len(owner.outcomes) == 1
        if fails:
            with pytest.raises(ConnectError, match="refused at once"):
                await shared.wait()
        else:
            assert await shared.wait() == "connected"
    await owner.task
    assert len(owner.outcomes) == 1


@pytest.mark.parametrize("factory", EAGER)
async def test_with_eager_tasks_a_dial_can_be_given_up_in_its_first_step(factory: Any) -> None:
    owner, ended = Owner(), []

    async def closing() -> str:
        owner.shared.give_up(RuntimeError("closed"))
        try:
            return await slow()
        finally:
            ended.append(True)

    with eagerly(factory):
        owner.share(closing)
        assert owner.outcomes == [None]
        with pytest.raises(RuntimeError, match="closed"):
            await owner.shared.wait()
    await asyncio.wait([owner.task])
    assert owner.task.cancelled()
    assert ended == [True]
    assert owner.outcomes == [None]
    assert owner.discarded == []
