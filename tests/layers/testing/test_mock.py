"""The mock connector: the test drives the far end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.abc import ByteStream

from ziggurat.layers.testing import MockConnector, MockRequest, mock_connector, stream_pair
from ziggurat.services import ConnectError, DialAttribute, Uri, dial

URI = Uri.parse("http://target:1")


class Call:
    """A dial in a separate task."""

    def __init__(self) -> None:
        self.stream: ByteStream | None = None
        self.error: Exception | None = None
        self.scope = anyio.CancelScope()
        self.done = anyio.Event()


@asynccontextmanager
async def dialling(connector: MockConnector) -> AsyncIterator[Call]:
    call = Call()

    async def run() -> None:
        with call.scope:
            try:
                call.stream = await connector(URI)
            except Exception as error:
                call.error = error
        call.done.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        yield call
    if call.stream is not None:
        await call.stream.aclose()


async def test_accept_answers_with_one_end_and_returns_the_other() -> None:
    connector, handle = mock_connector()
    async with dialling(connector) as call:
        request = await handle.next()
        assert request.uri == URI
        assert handle.waiting == 1
        far = request.accept()
        await call.done.wait()

        assert call.stream is not None
        await call.stream.send(b"ping")
        assert await far.receive() == b"ping"
        await far.send(b"pong")
        assert await call.stream.receive() == b"pong"
        assert (handle.waiting, handle.open_streams) == (0, 1)
        await call.stream.aclose()
        assert handle.open_streams == 0


async def test_any_stream_can_be_the_answer() -> None:
    connector, handle = mock_connector()
    near, _ = stream_pair()
    with dial(URI):
        async with anyio.create_task_group() as tasks:

            async def answer() -> None:
                (await handle.next()).accept_with(near)

            tasks.start_soon(answer)
            stream = await connector(URI)

    assert stream is near
    assert handle.open_streams == 1
    await stream.aclose()


async def test_fail_raises_in_the_caller_with_the_dial_filled_in() -> None:
    connector, handle = mock_connector(phase="tcp")
    error = ConnectError("no")
    async with dialling(connector) as call:
        (await handle.next()).fail(error)
        await call.done.wait()

    assert call.error is error
    assert error.phase == "tcp"
    assert error.ledger is not None
    assert error.ledger.target == URI


async def test_the_stream_carries_the_ledger_with_the_mock_phase() -> None:
    connector, handle = mock_connector()
    async with dialling(connector) as call:
        (await handle.next()).accept()
        await call.done.wait()
        assert call.stream is not None

    assert [entry.name for entry in call.stream.extra(DialAttribute.ledger).phases] == ["mock"]


async def test_a_cancelled_dial_is_visible_and_cannot_be_answered() -> None:
    connector, handle = mock_connector()
    async with dialling(connector) as call:
        request = await handle.next()
        call.scope.cancel()
        await call.done.wait()

    assert request.cancelled
    assert handle.waiting == 0
    assert repr(request) == "MockRequest(http://target:1, cancelled)"
    with pytest.raises(RuntimeError, match=r"http://target:1 was cancelled"):
        request.accept()


async def test_an_answer_that_crosses_with_a_cancellation_is_closed() -> None:
    connector, handle = mock_connector()
    async with dialling(connector) as call:
        request = await handle.next()
        call.scope.cancel()
        request.accept()
        await call.done.wait()
        if call.stream is not None:
            await call.stream.aclose()

    assert handle.open_streams == 0


async def test_requests_are_answered_once_and_come_in_order() -> None:
    connector, handle = mock_connector()
    async with dialling(connector), dialling(connector):
        first, second = await handle.next(), await handle.next()
        assert handle.requests == [first, second]
        second.fail(ConnectError("no"))
        with pytest.raises(RuntimeError, match="already answered"):
            second.accept()
        first.accept()
        assert "answered" in repr(handle)


async def test_waiting_for_a_dial_that_does_not_come_is_an_assertion_error() -> None:
    _, handle = mock_connector()
    with pytest.raises(AssertionError, match="no dial reached the mock connector within 3 s"):
        await handle.next(timeout=3.0)


async def test_an_unanswered_request_hangs_until_its_caller_is_cancelled() -> None:
    connector, handle = mock_connector()
    with anyio.move_on_after(5) as scope:
        await connector(URI)

    assert scope.cancelled_caught
    assert [request.cancelled for request in handle.requests] == [True]


async def test_a_new_request_waits_for_its_answer() -> None:
    request = MockRequest(URI)
    assert not request.answered
    assert repr(request) == "MockRequest(http://target:1, waiting)"
