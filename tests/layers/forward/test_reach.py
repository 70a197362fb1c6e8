"""Dialling for a client that may leave, send, or end meanwhile."""

from __future__ import annotations

import anyio
import pytest

from ziggurat.layers.forward.reach import MAX_EARLY, ClientLeft, reach
from ziggurat.layers.testing import MemoryStream, stream_pair
from ziggurat.services import ConnectError


class Dial:
    """A dial that ends when it is told to."""

    def __init__(self) -> None:
        self.near, self.far = stream_pair()
        self.answer = anyio.Event()
        self.cancelled = False

    async def __call__(self) -> MemoryStream:
        try:
            await self.answer.wait()
        except BaseException:
            self.cancelled = True
            raise
        return self.near


async def test_what_the_client_sends_meanwhile_is_kept() -> None:
    client, far = stream_pair()
    dial = Dial()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.send, b"one")
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(client.send, b"two")
        dial.answer.set()
        stream, early = await reach(far, dial)
    assert stream is dial.near
    while len(early) < 6:
        early += await far.receive()
    assert early == b"onetwo"


async def test_more_than_is_kept_stays_in_the_stream() -> None:
    client, far = stream_pair(MAX_EARLY + 1000)
    dial = Dial()
    await client.send(b"x" * (MAX_EARLY + 1000))
    async with anyio.create_task_group() as tasks:

        async def answer() -> None:
            await anyio.wait_all_tasks_blocked()
            dial.answer.set()

        tasks.start_soon(answer)
        _, early = await reach(far, dial)
    assert len(early) == MAX_EARLY
    assert len(await far.receive()) == 1000


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_the_dial_is_cancelled_when_the_client_leaves(how: str) -> None:
    client, far = stream_pair()
    dial = Dial()
    async with anyio.create_task_group() as tasks:

        async def leave() -> None:
            await anyio.wait_all_tasks_blocked()
            if how == "close":
                await client.aclose()
            else:
                client.reset()

        tasks.start_soon(leave)
        with pytest.raises(ClientLeft, match="left before the target was reached"):
            await reach(far, dial)
    assert dial.cancelled


@pytest.mark.parametrize("any_end", [False, True])
async def test_a_client_that_has_asked_and_ends_waits_for_the_answer_except_in_socks5(any_end: bool) -> None:
    client, far = stream_pair()
    dial = Dial()
    await client.send(b"request")
    await client.send_eof()

    async def answer() -> None:
        await anyio.wait_all_tasks_blocked()
        dial.answer.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(answer)
        if any_end:
            with pytest.raises(ClientLeft):
                await reach(far, dial, any_end=True)
        else:
            assert await reach(far, dial) == (dial.near, b"request")
    assert dial.cancelled is any_end


async def test_a_stream_that_comes_as_the_client_leaves_is_closed() -> None:
    client, far = stream_pair()
    near, _ = stream_pair()
    await client.aclose()

    async def stubborn() -> MemoryStream:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(1.0)
        return near

    with pytest.raises(ClientLeft):
        await reach(far, stubborn)
    assert near.closed


async def test_a_stream_that_comes_as_we_are_cancelled_is_closed() -> None:
    _, far = stream_pair()
    near, _ = stream_pair()

    async def stubborn() -> MemoryStream:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(5.0)
        return near

    returned: list[object] = []
    with anyio.move_on_after(1.0):
        returned.append(await reach(far, stubborn))
    # On asyncio it may come out before the cancellation does; then it is the caller's.
    assert near.closed is not bool(returned)


async def test_an_error_passes_as_it_is() -> None:
    _, far = stream_pair()
    error = ConnectError("no")

    async def fail() -> MemoryStream:
        raise error

    with pytest.raises(ConnectError) as caught:
        await reach(far, fail)
    assert caught.value is error
