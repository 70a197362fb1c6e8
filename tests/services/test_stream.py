"""No stream is left open, and each reports its end once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import anyio
import pytest
from anyio import TypedAttributeSet, typed_attribute
from anyio.abc import ByteStream

from ziggurat.layers.testing import stream_pair
from ziggurat.services import DialAttribute, Uri, WrappedStream, closing_on_error, dial, observed


class Extra(TypedAttributeSet):
    colour: str = typed_attribute()


class Recorder(ByteStream):
    """A foreign stream that records how it was closed; ``on_aclose`` runs inside ``aclose``."""

    def __init__(self, on_aclose: Callable[[], Any] | None = None) -> None:
        self.closed = 0
        self.left_aclose = False
        self.eofs = 0
        self.sent = b""
        self._on_aclose = on_aclose

    async def receive(self, max_bytes: int = 65536) -> bytes:
        await anyio.lowlevel.checkpoint()
        return b"x" * min(max_bytes, 5)

    async def send(self, item: bytes) -> None:
        await anyio.lowlevel.checkpoint()
        self.sent += item

    async def send_eof(self) -> None:
        self.eofs += 1

    async def aclose(self) -> None:
        self.closed += 1
        try:
            if self._on_aclose is not None:
                await self._on_aclose()
        finally:
            self.left_aclose = True

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return {Extra.colour: lambda: "red"}


async def fail() -> None:
    raise ConnectionResetError("closing failed")


async def test_on_success_the_stream_is_yielded_and_left_open() -> None:
    stream = Recorder()
    async with closing_on_error(stream) as same:
        pass

    assert same is stream
    assert stream.closed == 0


@pytest.mark.parametrize("on_aclose", [None, fail, anyio.sleep_forever, anyio.lowlevel.checkpoint])
@pytest.mark.parametrize("problem", [ValueError("mine"), KeyboardInterrupt("mine")])
async def test_an_error_closes_the_stream_and_propagates_unchanged(
    problem: BaseException, on_aclose: Callable[[], Any] | None
) -> None:
    stream = Recorder(on_aclose)

    with pytest.raises(type(problem)) as caught:
        async with closing_on_error(stream):
            raise problem

    assert caught.value is problem
    assert (stream.closed, stream.left_aclose) == (1, True)


@pytest.mark.parametrize("on_aclose", [None, fail, anyio.sleep_forever])
async def test_a_cancellation_closes_the_stream_and_propagates(on_aclose: Callable[[], Any] | None) -> None:
    stream = Recorder(on_aclose)
    with anyio.move_on_after(1) as scope:
        async with closing_on_error(stream):
            await anyio.sleep_forever()

    assert scope.cancelled_caught
    assert (stream.closed, stream.left_aclose) == (1, True)


@pytest.mark.parametrize("on_aclose", [fail, anyio.sleep_forever, anyio.lowlevel.checkpoint])
async def test_a_cancellation_during_closing_does_not_replace_the_error(on_aclose: Callable[[], Any]) -> None:
    stream = Recorder(on_aclose)

    async def work() -> None:
        async with closing_on_error(stream):
            scope.cancel()
            raise ValueError("mine")

    caught: list[BaseException] = []
    with anyio.CancelScope() as scope:
        try:
            await work()
        except BaseException as error:
            caught.append(error)
            if not isinstance(error, ValueError):
                raise
    assert [str(error) for error in caught] == ["mine"]
    assert stream.left_aclose


async def test_a_stream_that_hangs_in_aclose_causes_no_delay() -> None:
    before = anyio.current_time()
    with pytest.raises(ValueError, match="mine"):
        async with closing_on_error(Recorder(anyio.sleep_forever)):
            raise ValueError("mine")

    assert anyio.current_time() == before


async def test_on_close_callbacks_run_once_and_in_order_however_often_the_stream_is_closed() -> None:
    calls: list[str] = []
    stream = WrappedStream(Recorder())
    assert not stream.watched
    stream.on_close(lambda: calls.append("first"))
    assert stream.watched
    stream.on_close(lambda: calls.append("second"))
    await stream.aclose()
    await stream.aclose()
    stream.report_close()

    assert calls == ["first", "second"]


async def test_on_close_of_an_ended_stream_runs_immediately() -> None:
    calls: list[int] = []
    stream = WrappedStream(Recorder())
    await stream.aclose()
    stream.on_close(lambda: calls.append(1))

    assert calls == [1]


async def test_a_callback_may_register_another() -> None:
    calls: list[int] = []
    stream = WrappedStream(Recorder())
    stream.on_close(lambda: stream.on_close(lambda: calls.append(2)))
    await stream.aclose()

    assert calls == [2]


async def test_on_close_runs_even_if_closing_fails_or_is_cancelled() -> None:
    calls: list[int] = []
    failing = WrappedStream(Recorder(fail))
    failing.on_close(lambda: calls.append(1))
    with pytest.raises(ConnectionResetError):
        await failing.aclose()
    hanging = WrappedStream(Recorder(anyio.sleep_forever))
    hanging.on_close(lambda: calls.append(2))
    await anyio.aclose_forcefully(hanging)

    assert calls == [1, 2]


async def test_a_wrapper_passes_bytes_eof_and_close_and_counts_bytes() -> None:
    inner = Recorder()
    stream = WrappedStream(inner)
    await stream.send(b"abc")
    await stream.send(b"de")
    received = await stream.receive(4)
    await stream.send_eof()
    await stream.aclose()

    assert (received, inner.sent, inner.eofs, inner.closed) == (b"xxxx", b"abcde", 1, 1)
    assert (stream.bytes_sent, stream.bytes_received) == (5, 4)


async def test_pushed_back_bytes_come_first_and_are_counted_once() -> None:
    near, far = stream_pair()
    stream = WrappedStream(near)
    await far.send(b"reply and tunnel")
    data = await stream.receive()
    stream.push_back(data[6:])
    assert stream.bytes_received == 6
    stream.push_back(b"")
    stream.push_back(b"+")
    await far.send(b", more")
    await far.send_eof()

    received = [await stream.receive(n) for n in (4, 100, 100)]

    assert received == [b"+and", b" tunnel", b", more"]
    assert stream.bytes_received == len(b"reply and tunnel, more")
    with pytest.raises(anyio.EndOfStream):
        await stream.receive()
    stream.push_back(b"at the end")
    assert await stream.receive() == b"at the end"


async def test_reading_pushed_back_bytes_is_a_checkpoint_and_loses_none_when_cancelled() -> None:
    stream = WrappedStream(stream_pair()[0])
    stream.push_back(b"kept")
    with anyio.CancelScope() as scope:
        scope.cancel()
        await stream.receive()
    assert scope.cancelled_caught

    assert await stream.receive() == b"kept"


async def test_nothing_is_pushed_back_on_a_closed_stream_or_under_a_reader() -> None:
    stream = WrappedStream(stream_pair()[0])
    async with anyio.create_task_group() as group:
        group.start_soon(stream.receive)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(anyio.BusyResourceError):
            stream.push_back(b"x")
        group.cancel_scope.cancel()
    stream.push_back(b"lost with the stream")
    await stream.aclose()

    with pytest.raises(anyio.ClosedResourceError):
        stream.push_back(b"x")
    with pytest.raises(anyio.ClosedResourceError):
        await stream.receive()


async def test_a_failed_send_is_not_counted() -> None:
    ours, far = stream_pair()
    stream = WrappedStream(ours)
    await stream.aclose()
    with pytest.raises(anyio.ClosedResourceError):
        await stream.send(b"abc")
    await far.aclose()

    assert stream.bytes_sent == 0


async def test_a_wrapper_forwards_typed_attributes_and_adds_the_ledger() -> None:
    stream = WrappedStream(Recorder())

    assert stream.extra(Extra.colour) == "red"
    assert stream.extra(DialAttribute.ledger, None) is None

    with dial(Uri("http", "h", 80)) as current:
        stream.ledger = current.ledger

    assert stream.extra(DialAttribute.ledger) is current.ledger
    assert stream.extra(Extra.colour) == "red"


async def test_only_a_foreign_stream_is_wrapped() -> None:
    foreign = Recorder()
    ours = observed(foreign)

    assert isinstance(ours, WrappedStream)
    assert ours.inner is foreign
    assert observed(ours) is ours
    assert "Recorder" in repr(ours)
