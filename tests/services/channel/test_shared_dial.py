"""One dial for all who wait for it."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import weakref

import pytest

from ziggurat.services import ConnectError, ConnectTimeout
from ziggurat.services.channel.shared_dial import SharedDial

pytestmark = pytest.mark.asyncio_only

loose: contextvars.ContextVar[str] = contextvars.ContextVar("loose", default="clean")


class Told:
    """What the dial told its owner."""

    def __init__(self) -> None:
        self.outcomes: list[object] = []
        self.discarded: list[str] = []

    def share(self, dial: object) -> SharedDial[str]:
        return SharedDial(
            dial,  # type: ignore[arg-type]
            on_end=self.outcomes.append,
            discard=self.discarded.append,
            cut_off=self.cut_off,
        )

    def cut_off(self, seconds: float, /, *, last: bool) -> ConnectError:
        return ConnectTimeout(seconds, "last" if last else "one of several")


async def slow() -> str:
    await asyncio.sleep(1)
    return "connected"


async def refuse() -> str:
    await asyncio.sleep(1)
    raise ConnectTimeout(1.0, "whose") from OSError("the cause")


async def test_all_who_wait_share_a_success() -> None:
    told = Told()
    shared = told.share(slow)
    assert await asyncio.gather(*(shared.wait() for _ in range(20))) == ["connected"] * 20
    assert told.outcomes == ["connected"]
    assert await shared.wait() == "connected"  # late, and still


async def test_all_who_wait_get_an_error_of_their_own_with_the_same_cause() -> None:
    told = Told()
    shared = told.share(refuse)
    errors = await asyncio.gather(*(shared.wait() for _ in range(20)), return_exceptions=True)
    assert all(isinstance(error, ConnectTimeout) and error.name == "whose" for error in errors)
    assert len({id(error) for error in errors}) == 20
    assert len({id(error.__cause__) for error in errors if isinstance(error, ConnectError)}) == 1
    assert str(errors[0].__cause__) == "the cause"  # type: ignore[union-attr]
    assert len(told.outcomes) == 1


async def test_who_leaves_disturbs_nobody() -> None:
    told = Told()
    shared = told.share(slow)
    staying = asyncio.create_task(shared.wait())
    leaving = asyncio.create_task(shared.wait())
    await asyncio.sleep(0.5)
    leaving.cancel()
    assert await staying == "connected"
    assert leaving.cancelled()


async def test_when_the_last_has_left_the_dial_is_cancelled() -> None:
    told = Told()
    shared = told.share(slow)
    waiting = [asyncio.create_task(shared.wait()) for _ in range(2)]
    await asyncio.sleep(0.5)
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    assert told.outcomes == [None]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert shared.task.cancelled() or shared.task.done()


async def test_a_result_that_came_in_spite_of_that_is_discarded() -> None:
    told = Told()

    async def stubborn() -> str:
        try:
            return await slow()
        except asyncio.CancelledError:
            return "unwanted"

    shared = told.share(stubborn)
    waiting = asyncio.create_task(shared.wait())
    await asyncio.sleep(0.5)
    waiting.cancel()
    await asyncio.wait([waiting, shared.task])
    assert told.discarded == ["unwanted"]
    assert told.outcomes == [None]


async def test_an_error_that_came_in_spite_of_that_is_forgotten() -> None:
    told = Told()

    async def stubborn() -> str:
        try:
            return await slow()
        except asyncio.CancelledError:
            raise ConnectError("renamed by a careless connector") from None

    shared = told.share(stubborn)
    shared.give_up()
    await asyncio.wait([shared.task])
    assert told.outcomes == [None]


async def test_giving_up_tells_who_waits_the_reason() -> None:
    told = Told()
    shared = told.share(slow)
    waiting = [asyncio.create_task(shared.wait()) for _ in range(3)]
    await asyncio.sleep(0.5)
    shared.give_up(RuntimeError("closed"))
    shared.give_up(RuntimeError("a second reason"))
    errors = await asyncio.gather(*waiting, return_exceptions=True)
    assert [str(error) for error in errors] == ["closed"] * 3
    assert len({id(error) for error in errors}) == 3
    assert told.outcomes == [None]


@pytest.mark.parametrize("steps", [0, 3])
async def test_cancelling_the_dials_own_task_hangs_nobody(steps: int) -> None:
    told = Told()
    shared = told.share(slow)
    waiting = asyncio.create_task(shared.wait())
    if not steps:
        shared.task.cancel()  # before its first step
    for _ in range(steps):
        await asyncio.sleep(0)
    shared.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert told.outcomes == [None]


async def test_a_defect_in_the_dial_reaches_who_waits() -> None:
    async def defect() -> str:
        raise KeyError("a defect")

    told = Told()
    with pytest.raises(KeyError):
        await told.share(defect).wait()
    assert told.outcomes == [None]


async def test_the_dial_runs_in_a_fresh_context() -> None:
    async def look() -> str:
        return loose.get()

    loose.set("leaked")
    assert await Told().share(look).wait() == "clean"


async def test_a_failed_dial_is_freed_without_the_garbage_collector() -> None:
    class Owner:
        async def dial(self) -> str:
            return await refuse()

    owner = Owner()
    told = Told()
    shared = told.share(owner.dial)
    gone = weakref.ref(owner)
    gc.disable()
    try:
        with pytest.raises(ConnectError):
            await shared.wait()
        await asyncio.sleep(0)
        del owner, shared
        assert gone() is None
    finally:
        gc.enable()
