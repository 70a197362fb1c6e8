from __future__ import annotations

from typing import NamedTuple

import anyio
import pytest
from anyio.abc import ByteStream
from hypothesis import given, settings
from hypothesis import strategies as st

from ziggurat.layers.concurrency_limit import ConcurrencyLimitLayer, Hold
from ziggurat.layers.limiter import Limiter
from ziggurat.layers.testing import MockHandle, check_layer, mock_connector, stream_pair
from ziggurat.services.errors import ConnectError, ConnectTimeout, LimitExceeded
from ziggurat.services.service import Connector
from ziggurat.services.stream import WrappedStream
from ziggurat.services.uri import Uri

TARGET = Uri.parse("http://target.test:80")


@pytest.mark.parametrize("hold", ["dial", "stream"])
async def test_it_keeps_the_contracts_of_a_layer(hold: Hold) -> None:
    await check_layer(ConcurrencyLimitLayer(1, hold=hold), transparent=True)


async def test_a_shared_limiter_keeps_the_contracts_and_gets_every_permit_back() -> None:
    limiter = Limiter(1)
    await check_layer(ConcurrencyLimitLayer(limiter, max_wait=900.0, hold="stream"), shared=True, transparent=True)
    assert (limiter.held, limiter.waiting) == (0, 0)


async def test_rejecting_keeps_the_contracts() -> None:
    await check_layer(ConcurrencyLimitLayer(1, mode="reject"), transparent=True)


async def settle() -> None:
    await anyio.wait_all_tasks_blocked()


async def dial(connector: Connector, log: list[object], name: object = None) -> None:
    try:
        log.append((name, await connector(TARGET)))
    except ConnectError as error:
        log.append((name, error))


async def close_all(log: list[object], handle: MockHandle) -> None:
    for request in handle.requests:
        if request.stream is not None:
            await request.stream.aclose()


async def test_dials_beyond_the_limit_wait_and_are_served_first_come_first_served() -> None:
    connector, handle = mock_connector()
    limiter = Limiter(2)
    stack = ConcurrencyLimitLayer(limiter).layer(connector)
    log: list[object] = []

    async with anyio.create_task_group() as tasks:
        for name in range(5):
            tasks.start_soon(dial, stack, log, name)
            await settle()
        assert (limiter.total, limiter.held, limiter.waiting) == (2, 2, 3)
        assert len(handle.requests) == 2
        for index in range(5):
            handle.requests[index].accept()
            await settle()
            assert len(handle.requests) == min(5, index + 3)

    assert [entry[0] for entry in log] == [0, 1, 2, 3, 4]  # type: ignore[index]
    assert (limiter.held, limiter.waiting) == (0, 0)
    await close_all(log, handle)


async def test_rejecting_does_not_wait() -> None:
    connector, handle = mock_connector()
    stack = ConcurrencyLimitLayer(1, mode="reject").layer(connector)
    async with anyio.create_task_group() as tasks:
        log: list[object] = []
        tasks.start_soon(dial, stack, log)
        await settle()
        started = anyio.current_time()
        with pytest.raises(LimitExceeded, match="all 1 permits in use") as caught:
            await stack(TARGET)
        assert anyio.current_time() == started
        handle.requests[0].accept()
    assert caught.value.phase == "admission"
    assert caught.value.transient
    await close_all(log, handle)


async def test_dials_beyond_max_waiting_are_rejected() -> None:
    connector, _ = mock_connector()
    limiter = Limiter(1)
    stack = ConcurrencyLimitLayer(limiter, max_waiting=1).layer(connector)
    log: list[object] = []
    async with anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(dial, stack, log)
        await settle()
        assert limiter.waiting == 1
        with pytest.raises(LimitExceeded, match="all 1 permits in use, 1 waiting"):
            await stack(TARGET)
        tasks.cancel_scope.cancel()
    assert (limiter.held, limiter.waiting) == (0, 0)


async def test_max_wait_is_a_timeout_of_admission_only() -> None:
    connector, handle = mock_connector()
    limiter = Limiter(1)
    stack = ConcurrencyLimitLayer(limiter, max_wait=2.0).layer(connector)
    log: list[object] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(dial, stack, log)
        await settle()
        with pytest.raises(ConnectTimeout) as caught:
            await stack(TARGET)
        assert limiter.waiting == 0
        await anyio.sleep(100.0)  # the first one takes long to dial, which max_wait does not limit
        handle.requests[0].accept()
    assert (caught.value.phase, caught.value.name, caught.value.limit) == ("admission", "max_wait", 2.0)
    assert limiter.held == 0
    await close_all(log, handle)


async def test_a_permit_held_for_the_dial_is_released_when_the_stream_arrives() -> None:
    near, _ = stream_pair()

    async def leaf(uri: Uri, /) -> ByteStream:
        assert limiter.held == 1
        return near

    limiter = Limiter(1)
    stream = await ConcurrencyLimitLayer(limiter).layer(leaf)(TARGET)
    assert limiter.held == 0
    await stream.aclose()


async def test_a_permit_held_for_the_stream_is_released_once_when_it_is_closed() -> None:
    near, _ = stream_pair()
    ours = WrappedStream(near)

    async def leaf(uri: Uri, /) -> ByteStream:
        return ours

    limiter = Limiter(2)
    assert limiter.acquire_nowait()
    stream = await ConcurrencyLimitLayer(limiter, hold="stream").layer(leaf)(TARGET)
    assert stream is ours
    assert limiter.held == 2
    await stream.aclose()
    await stream.aclose()
    assert limiter.held == 1
    limiter.release()


async def test_a_stream_that_has_already_ended_holds_no_permit() -> None:
    near, _ = stream_pair()
    ours = WrappedStream(near)
    await ours.aclose()

    async def leaf(uri: Uri, /) -> ByteStream:
        return ours

    limiter = Limiter(1)
    await ConcurrencyLimitLayer(limiter, hold="stream").layer(leaf)(TARGET)
    assert limiter.held == 0


async def test_an_int_limits_each_stack_and_a_limiter_all_of_them() -> None:
    connector, handle = mock_connector()
    for limit, reached in ((1, 2), (Limiter(1), 1)):
        layer = ConcurrencyLimitLayer(limit)
        before = len(handle.requests)
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(dial, layer.layer(connector), [])
            await settle()
            assert len(handle.requests) - before == reached
            tasks.cancel_scope.cancel()


class Caller(NamedTuple):
    start: int
    duration: int
    cancel_after: int | None
    life: int | None  # of the stream; None if the dial fails


callers = st.builds(
    Caller,
    start=st.integers(0, 4),
    duration=st.integers(0, 4),
    cancel_after=st.none() | st.integers(0, 8),
    life=st.none() | st.integers(0, 4),
)


@settings(max_examples=150, deadline=None)
@given(
    total=st.integers(1, 3),
    hold=st.sampled_from(["dial", "stream"]),
    max_wait=st.none() | st.integers(1, 6),
    max_waiting=st.none() | st.integers(0, 3),
    schedule=st.lists(callers, max_size=12),
)
async def test_no_permit_is_ever_lost_or_doubled(
    total: int, hold: Hold, max_wait: int | None, max_waiting: int | None, schedule: list[Caller]
) -> None:
    limiter = Limiter(total)
    arrived: list[int] = []
    entered: dict[int, float] = {}
    busy: set[int] = set()
    most = 0

    async def play(index: int, caller: Caller) -> None:
        nonlocal most

        async def leaf(uri: Uri, /) -> ByteStream:
            nonlocal most
            entered[index] = anyio.current_time()
            busy.add(index)
            most = max(most, len(busy))
            assert len(busy) <= limiter.held <= total
            try:
                await anyio.sleep(caller.duration)
                if caller.life is None:
                    raise ConnectError("no")
            except BaseException:
                busy.discard(index)
                raise
            if hold == "dial":
                busy.discard(index)
            return stream_pair()[0]

        layer = ConcurrencyLimitLayer(limiter, max_wait=max_wait, max_waiting=max_waiting, hold=hold)
        await anyio.sleep(caller.start)
        arrived.append(index)
        stream: ByteStream | None = None
        with anyio.move_on_after(caller.cancel_after):
            try:
                stream = await layer.layer(leaf)(TARGET)
            except ConnectError:
                pass
        if stream is not None:
            await anyio.sleep(caller.life or 0)
            busy.discard(index)
            await stream.aclose()

    async with anyio.create_task_group() as tasks:
        for index, caller in enumerate(schedule):
            tasks.start_soon(play, index, caller)

    times = [entered[index] for index in arrived if index in entered]
    assert times == sorted(times), "overtaken"
    assert (limiter.held, limiter.waiting) == (0, 0)
    assert [limiter.acquire_nowait() for _ in range(total + 1)] == [True] * total + [False]


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"limit": 0}, ValueError, r"limit must be a whole number \(at least 1\), not 0"),
        ({"limit": None}, TypeError, "limit must be a whole number"),
        ({"limit": 1, "mode": "shed"}, ValueError, "mode must be .* not 'shed'"),
        ({"limit": 1, "hold": "call"}, ValueError, "hold must be .* not 'call'"),
        (
            {"limit": 1, "max_waiting": -1},
            ValueError,
            r"max_waiting must be .* \(at least 0\) or None, not -1",
        ),
        ({"limit": 1, "max_wait": 0}, ValueError, "max_wait must be a positive number of seconds"),
        ({"limit": 1, "mode": "reject", "max_wait": 1.0}, ValueError, "has no queue"),
        ({"limit": 1, "mode": "reject", "max_waiting": 1}, ValueError, "has no queue"),
    ],
)
def test_wrong_settings_are_refused(arguments: dict[str, object], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        ConcurrencyLimitLayer(**arguments)  # type: ignore[arg-type]


def test_repr_shows_the_settings() -> None:
    assert repr(ConcurrencyLimitLayer(Limiter(3), max_wait=1.0)) == (
        "ConcurrencyLimitLayer(limit=Limiter(total=3, held=0, waiting=0), mode='wait', max_waiting=None, "
        "max_wait=1.0, hold='dial')"
    )
