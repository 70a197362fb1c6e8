from __future__ import annotations

import anyio
import pytest

from ziggurat.layers.limiter import Limiter


async def test_a_newcomer_does_not_overtake_a_waiter_that_was_just_served() -> None:
    limiter = Limiter(1)
    order: list[str] = []

    async def take(name: str) -> None:
        await limiter.acquire()
        order.append(name)
        limiter.release()

    await limiter.acquire()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(take, "first")
        await anyio.wait_all_tasks_blocked()
        limiter.release()
        assert not limiter.acquire_nowait()  # the permit belongs to the waiter, which has not run yet
        tasks.start_soon(take, "second")
    assert order == ["first", "second"]


@pytest.mark.parametrize(("cancel_first", "expected"), [(True, ["c"]), (False, ["a"])])
async def test_a_waiter_cancelled_and_served_at_once_loses_no_permit(cancel_first: bool, expected: list[str]) -> None:
    limiter = Limiter(1)
    served: list[str] = []

    async def take(name: str, scope: anyio.CancelScope) -> None:
        with scope:
            await limiter.acquire()
            served.append(name)

    await limiter.acquire()
    scopes = [anyio.CancelScope() for _ in range(3)]
    async with anyio.create_task_group() as tasks:
        for name, scope in zip("abc", scopes, strict=True):
            tasks.start_soon(take, name, scope)
            await anyio.wait_all_tasks_blocked()
        scopes[1].cancel()
        await anyio.wait_all_tasks_blocked()
        assert limiter.waiting == 2
        if cancel_first:
            scopes[0].cancel()
            limiter.release()
        else:
            limiter.release()
            scopes[0].cancel()
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert served == expected
    assert (limiter.held, limiter.waiting) == (1, 0)


async def test_releasing_too_often_is_an_error() -> None:
    limiter = Limiter(2)
    with pytest.raises(RuntimeError, match="released more often"):
        limiter.release()
    await limiter.acquire()
    limiter.release()
    with pytest.raises(RuntimeError, match="released more often"):
        limiter.release()
    assert limiter.held == 0


def test_a_limiter_belongs_to_one_loop_at_a_time() -> None:
    limiter = Limiter(2)

    async def take() -> None:
        await limiter.acquire()

    async def take_and_give_back() -> None:
        await limiter.acquire()
        limiter.release()

    anyio.run(take_and_give_back)
    anyio.run(take_and_give_back, backend="trio")
    anyio.run(take)
    with pytest.raises(RuntimeError, match="in use on another event loop"):
        anyio.run(take)
