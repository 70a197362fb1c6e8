from __future__ import annotations

import anyio
import pytest

from ziggurat.layers.rate_limit.gate import Gate
from ziggurat.layers.tokens import Tokens


async def test_all_waiters_are_served_in_order() -> None:
    """tower #454: with one waker for several waiters the others wait for ever."""
    gate = Gate(Tokens(1.0, 1.0))
    order: list[tuple[str, float]] = []
    start = anyio.current_time()

    async def enter(name: str) -> None:
        await gate.enter()
        order.append((name, anyio.current_time() - start))

    assert gate.enter_nowait()
    async with anyio.create_task_group() as tasks:
        for name in "abc":
            tasks.start_soon(enter, name)
            await anyio.wait_all_tasks_blocked()
        assert gate.waiting == 3
    assert order == [("a", 1.0), ("b", 2.0), ("c", 3.0)]
    assert gate.waiting == 0


async def test_a_newcomer_does_not_overtake() -> None:
    gate = Gate(Tokens(1.0, 1.0))
    gate.enter_nowait()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(gate.enter)
        await anyio.wait_all_tasks_blocked()
        gate._meter.add(1.0)  # type: ignore[attr-defined]
        assert not gate.enter_nowait()


@pytest.mark.parametrize("cancelled", [0, 1])
async def test_a_cancelled_waiter_takes_nothing_and_the_next_moves_up(cancelled: int) -> None:
    """A waiter that is cancelled at the head of the queue must neither block it nor use a token up."""
    gate = Gate(Tokens(1.0, 1.0))
    times: list[float] = []
    start = anyio.current_time()
    scopes = [anyio.CancelScope() for _ in range(3)]

    async def enter(scope: anyio.CancelScope) -> None:
        with scope:
            await gate.enter()
            times.append(anyio.current_time() - start)

    gate.enter_nowait()
    async with anyio.create_task_group() as tasks:
        for scope in scopes:
            tasks.start_soon(enter, scope)
            await anyio.wait_all_tasks_blocked()
        await anyio.sleep(0.5)
        scopes[cancelled].cancel()
    assert times == [1.0, 2.0]
    assert gate.waiting == 0


def test_it_belongs_to_one_loop_while_somebody_waits() -> None:
    gate = Gate(Tokens(1.0, 1e-6))

    async def leave_one_waiting() -> None:
        gate.enter_nowait()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(gate.enter)
            await anyio.wait_all_tasks_blocked()
            await anyio.to_thread.run_sync(on_another_loop)
            tasks.cancel_scope.cancel()

    def on_another_loop() -> None:
        with pytest.raises(RuntimeError, match="in use on another event loop"):
            anyio.run(gate.enter)

    anyio.run(leave_one_waiting)
    assert gate.waiting == 0
