"""Exactly one stream survives a race, or none: same tick, cancelled at any await, with a bug in a branch."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Sequence
from typing import NamedTuple

import anyio
import pytest
from anyio.abc import ByteStream
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.layers.scripted import TARGET, Leaf, refused
from ziggurat.layers.first_success import first_success
from ziggurat.services import AllFailed, ConnectError, Connector, ConnectRefused, Uri, WrappedStream, dial

DELAY = 0.25


async def run(*connectors: Connector, delay: float = DELAY) -> ByteStream:
    branches = [(str(position), connector) for position, connector in enumerate(connectors, 1)]
    with dial(TARGET) as current:
        return current.established(await first_success(current, TARGET, branches, delay))


async def close(stream: ByteStream, leaves: Sequence[Leaf]) -> None:
    assert sum(leaf.open for leaf in leaves) == 1
    await stream.aclose()
    assert_nothing_left(leaves)


def assert_nothing_left(leaves: Sequence[Leaf]) -> None:
    assert [(leaf.open, leaf.running) for leaf in leaves] == [(0, 0)] * len(leaves)


async def test_the_first_branch_is_alone_if_it_is_quick() -> None:
    leaves = [Leaf(seconds=0.2), Leaf()]
    await close(await run(*leaves), leaves)
    assert [len(leaf.calls) for leaf in leaves] == [1, 0]


async def test_a_success_just_when_the_delay_ends_starts_no_other_branch() -> None:
    """trio #632: the next address was tried though the one before had just connected."""
    leaves = [Leaf(seconds=DELAY - 4e-10), Leaf(seconds=9.0)]  # in the same cycle of the event loop, and first
    await close(await run(*leaves), leaves)
    assert leaves[1].calls == []


@pytest.mark.asyncio_only  # trio wakes tasks at the exact time
async def test_a_failure_and_a_success_in_one_cycle_start_no_other_branch() -> None:
    """The starter is woken by the failure, and has not run when the other branch succeeds."""
    leaves = [Leaf(seconds=0.375), Leaf(*refused(1), seconds=0.375 - DELAY - 4e-10), Leaf(seconds=9.0)]
    await close(await run(*leaves), leaves)
    assert [len(leaf.calls) for leaf in leaves] == [1, 1, 0]


async def test_a_slow_branch_is_overtaken_and_cancelled() -> None:
    leaves = [Leaf(seconds=60.0), Leaf(seconds=0.1)]
    started = anyio.current_time()
    await close(await run(*leaves), leaves)
    assert anyio.current_time() - started == pytest.approx(0.35)
    assert leaves[0].cancelled == 1


async def test_a_failure_starts_the_next_branch_at_once() -> None:
    leaves = [Leaf(*refused(1), seconds=0.1), Leaf()]
    started = anyio.current_time()
    await close(await run(*leaves), leaves)
    assert anyio.current_time() - started == pytest.approx(0.1)


async def test_the_first_success_wins_not_the_first_end() -> None:
    """tower's hedge returns whatever ends first, an error too."""
    leaves = [Leaf(seconds=1.0), Leaf(*refused(1), seconds=0.1)]
    await close(await run(*leaves), leaves)
    assert [len(leaf.calls) for leaf in leaves] == [1, 1]


async def test_two_winners_in_one_tick_leave_one_stream() -> None:
    """aiohappyeyeballs #143, aiohttp #10506: the second winner's socket was never closed."""
    leaves = [Leaf(seconds=1.0), Leaf(seconds=1.0 - DELAY), Leaf(seconds=1.0 - 2 * DELAY)]
    await close(await run(*leaves), leaves)
    assert [len(leaf.calls) for leaf in leaves] == [1, 1, 1]


async def test_a_branch_that_ends_although_it_is_cancelled_is_closed() -> None:
    """A connector may shield its last steps, and return a stream long after it was cancelled."""
    inner = Leaf()

    async def stubborn(uri: Uri, /) -> ByteStream:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(5.0)
            return await inner(uri)

    quick = Leaf(seconds=1.0)
    started = anyio.current_time()
    await close(await run(stubborn, quick), [inner, quick])
    assert len(inner.streams) == 1
    assert anyio.current_time() - started == pytest.approx(5.0)  # nothing is left running


async def test_all_errors_come_together() -> None:
    leaves = [Leaf(*refused(1)), Leaf(ConnectError("unreachable"), name="unix")]
    with pytest.raises(AllFailed) as caught:
        await run(*leaves)
    assert [type(error) for error in caught.value.errors] == [ConnectRefused, ConnectError]
    assert str(caught.value) == (
        "http://target.test:80: unix failed after 0.00 s: 2 branches failed: 1: tcp: connection refused; "
        "2: unix: unreachable"
    )
    assert caught.value.__cause__ is caught.value.errors[-1]


@pytest.mark.parametrize("error", [RuntimeError("a leak"), KeyError("bug"), OSError("foreign")])
async def test_any_other_exception_ends_the_race_and_is_no_group(error: Exception) -> None:
    leaves = [Leaf(seconds=60.0), Leaf(error)]
    with pytest.raises(type(error)) as caught:
        await run(*leaves)
    assert caught.value is error
    assert_nothing_left(leaves)


@pytest.mark.parametrize(("error", "fatal"), [(RuntimeError("a leak"), True), (OSError("foreign"), False)])
async def test_of_a_loser_only_a_leak_or_a_bug_counts(error: Exception, fatal: bool) -> None:
    async def cancelled_badly(uri: Uri, /) -> ByteStream:
        try:
            await anyio.sleep(60.0)
        except anyio.get_cancelled_exc_class():
            raise error from None
        raise AssertionError

    quick = Leaf()
    if fatal:
        with pytest.raises(RuntimeError, match="a leak"):
            await run(cancelled_badly, quick)
        assert_nothing_left([quick])
    else:
        await close(await run(cancelled_badly, quick), [quick])


async def test_a_stream_that_cannot_be_closed_hides_no_error() -> None:
    class Unclosable(WrappedStream):
        async def aclose(self) -> None:
            await super().aclose()
            raise OSError("close failed")

    async def winner(uri: Uri, /) -> ByteStream:
        await anyio.sleep(1.0)
        return Unclosable(await leaf(uri))

    async def loser(uri: Uri, /) -> ByteStream:
        try:
            await anyio.sleep(60.0)
        except anyio.get_cancelled_exc_class():
            raise RuntimeError("a leak") from None
        raise AssertionError

    leaf = Leaf()
    with pytest.raises(RuntimeError, match="a leak"):
        await run(winner, loser)
    assert_nothing_left([leaf])


@pytest.mark.parametrize("moment", [0.0, 0.125, 0.25, 0.5, 1.0, 1.25])
async def test_a_caller_cancelled_at_any_moment_gets_a_stream_or_leaves_none(moment: float) -> None:
    leaves = [Leaf(seconds=1.0), Leaf(seconds=1.0 - DELAY)]
    stream: ByteStream | None = None
    with anyio.move_on_after(moment):
        stream = await run(*leaves)
    if stream is not None:
        await stream.aclose()
    assert_nothing_left(leaves)


@pytest.mark.asyncio_only
async def test_a_task_cancelled_at_any_step_gets_a_stream_or_leaves_none() -> None:
    """By asyncio itself, as grpclib's deadlines and `asyncio.timeout` do it; also in the cycle of the success."""
    got = lost = 0
    for step in range(40):
        leaves = [Leaf(seconds=1.0), Leaf(seconds=1.0 - DELAY)]
        task = asyncio.ensure_future(run(*leaves))
        await asyncio.sleep(step % 2)  # 1: both have just got their streams
        for _ in range(step // 2):
            await asyncio.sleep(0)
        task.cancel()
        try:
            stream = await task
        except asyncio.CancelledError:
            lost += 1
        else:
            got += 1
            await stream.aclose()
        assert_nothing_left(leaves)
    assert got
    assert lost


class Branch(NamedTuple):
    duration: int
    succeeds: bool
    shielded: bool  # does not let itself be cancelled


branches = st.builds(Branch, duration=st.integers(0, 6), succeeds=st.booleans(), shielded=st.booleans())


@settings(max_examples=50, deadline=None)
@given(plan=st.lists(branches, min_size=1, max_size=5), cancel_after=st.none() | st.integers(0, 12))
async def test_whatever_happens_one_stream_survives_or_none(plan: list[Branch], cancel_after: int | None) -> None:
    """Durations are multiples of half the delay, so that many ends, starts and the cancellation coincide."""
    leaves: list[Leaf] = []

    def connector(branch: Branch) -> Connector:
        leaf = Leaf(*([] if branch.succeeds else refused(1)), seconds=branch.duration / 8)
        leaves.append(leaf)

        async def connect(uri: Uri, /) -> ByteStream:
            with anyio.CancelScope(shield=branch.shielded):
                return await leaf(uri)

        return connect

    stream: ByteStream | None = None
    failed = False
    with anyio.move_on_after(None if cancel_after is None else cancel_after / 8):
        try:
            stream = await run(*map(connector, plan))
        except ConnectError:
            failed = True
    if stream is not None:
        await close(stream, leaves)
    assert_nothing_left(leaves)
    if cancel_after is None:
        assert failed == (not any(branch.succeeds for branch in plan))


class Silent:
    """A leaf that keeps no error, and whose frames keep none."""

    async def __call__(self, uri: Uri, /) -> ByteStream:
        raise ConnectRefused("no")


async def test_it_leaves_no_cycle() -> None:
    gc.collect()
    gc.disable()
    try:
        leaf = Silent()
        alive = weakref.ref(leaf)
        await (await run(leaf, Leaf())).aclose()
        try:
            await run(leaf, leaf)
        except AllFailed:
            pass
        del leaf
        for _ in range(3):
            await anyio.lowlevel.checkpoint()  # the event loop still refers to the last tasks
        assert alive() is None
    finally:
        gc.enable()
