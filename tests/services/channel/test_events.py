# ruff: noqa: PT012  (a call is a block, and leaving it raises)
"""grpclib's events on our channel: a channel's listeners are told what they are told by grpclib's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpclib.client
import pytest
from grpclib.const import Cardinality, Handler, Status
from grpclib.events import (
    RecvInitialMetadata,
    RecvMessage,
    RecvRequest,
    RecvTrailingMetadata,
    SendInitialMetadata,
    SendMessage,
    SendRequest,
    SendTrailingMetadata,
    listen,
)
from grpclib.exceptions import GRPCError, StreamTerminatedError
from grpclib.metadata import Deadline
from grpclib.server import Server
from h2.errors import ErrorCodes
from hyperframe.frame import HeadersFrame

from tests.services.channel.side_by_side import BytesCodec, DetailsCodec, our_channel, outcome_of, stock_channel
from ziggurat.services import Channel
from ziggurat.services.channel.server import CompressionMixin

pytestmark = pytest.mark.asyncio_only

CHANNEL_EVENTS = (SendRequest, SendMessage, RecvInitialMetadata, RecvMessage, RecvTrailingMetadata)
SERVER_EVENTS = (RecvRequest, RecvMessage, SendInitialMetadata, SendMessage, SendTrailingMetadata)
UNARY, TALK = Cardinality.UNARY_UNARY, Cardinality.STREAM_STREAM


class Answers:
    """Handlers that answer with metadata and details.

    Attributes:
        seen: the metadata and the messages of the requests.
    """

    def __init__(self) -> None:
        self.seen: list[Any] = []

    async def talk(self, call: Any) -> None:
        self.seen.append(dict(call.metadata))
        await call.send_initial_metadata(metadata={"initial": "i"})
        async for message in call:
            self.seen.append(message)
            await call.send_message(message.upper())
        await call.send_trailing_metadata(metadata={"trailing": "t"})

    async def fail(self, call: Any) -> None:
        """Fail in headers alone."""
        await call.send_trailing_metadata(
            status=Status.NOT_FOUND, status_message="gone", status_details="details", metadata={"trailing": "t"}
        )

    async def fail_late(self, call: Any) -> None:
        await call.send_initial_metadata(metadata={"initial": "i"})
        await self.fail(call)

    def __mapping__(self) -> dict[str, Handler]:
        return {
            "/events/Unary": Handler(self.talk, UNARY, bytes, bytes),
            "/events/Talk": Handler(self.talk, TALK, bytes, bytes),
            "/events/Fail": Handler(self.fail, UNARY, bytes, bytes),
            "/events/FailLate": Handler(self.fail_late, UNARY, bytes, bytes),
        }


class GzipServer(CompressionMixin, Server):
    pass


class Ends:
    """A channel, its server, and what the server's handlers have seen."""

    def __init__(self, make_channel: Callable[..., grpclib.client.Channel], make_server: Callable[..., Server]) -> None:
        codecs: Any = {"codec": BytesCodec(), "status_details_codec": DetailsCodec()}
        self.answers = Answers()
        self.server = make_server([self.answers], **codecs)
        self.channel = make_channel(self.server, **codecs)

    def open(self, name: str, cardinality: Cardinality = UNARY, **arguments: Any) -> Any:
        return self.channel.request(f"/events/{name}", cardinality, bytes, bytes, **arguments)

    async def unary(self, name: str = "Unary", message: bytes = b"m", **arguments: Any) -> bytes:
        method = grpclib.client.UnaryUnaryMethod(self.channel, f"/events/{name}", bytes, bytes)
        return await method(message, **arguments)

    async def talk(self, *messages: bytes) -> list[bytes]:
        method = grpclib.client.StreamStreamMethod(self.channel, "/events/Talk", bytes, bytes)
        return await method(messages)


def payload(event: Any) -> dict[str, Any]:
    """Return what an event says, without the deadline's own time."""
    names = [name for name in event.__slots__ if name != "__interrupted__"]
    values = {name: getattr(event, name) for name in names}
    if isinstance(values.get("deadline"), Deadline):
        values["deadline"] = round(values["deadline"].time_remaining())
    return {name: dict(value) if name == "metadata" else value for name, value in values.items()}


def record(target: Any, *kinds: type) -> list[tuple[str, dict[str, Any]]]:
    """Return a list that all events of ``target`` go to."""
    events: list[tuple[str, dict[str, Any]]] = []

    async def keep(event: Any) -> None:
        events.append((type(event).__name__, payload(event)))

    for kind in kinds:
        listen(target, kind, keep)
    return events


async def on_both(scenario: Callable[[Ends], Awaitable[Any]]) -> Any:
    """Return what a scenario gives on our channel, which is what it gives on grpclib's."""
    results = []
    for make_channel in (stock_channel, our_channel):
        ends = Ends(make_channel, Server)
        results.append(await scenario(ends))
        ends.channel.close()
        await asyncio.sleep(0.01)
    assert results[1] == results[0]
    return results[1]


# --- what they are told -----------------------------------------------------------------------------------------------


async def test_a_unary_call_fires_each_event_once() -> None:
    async def scenario(ends: Ends) -> Any:
        events = record(ends.channel, *CHANNEL_EVENTS)
        assert await ends.unary(timeout=7.4, metadata={"mine": "m"}) == b"M"
        return events

    request = {"metadata": {"mine": "m"}, "method_name": "/events/Unary", "deadline": 7}
    assert await on_both(scenario) == [
        ("SendRequest", {**request, "content_type": "application/grpc+bytes"}),
        ("SendMessage", {"message": b"m"}),
        ("RecvInitialMetadata", {"metadata": {"initial": "i"}}),
        ("RecvMessage", {"message": b"M"}),
        ("RecvTrailingMetadata",
         {"metadata": {"trailing": "t"}, "status": Status.OK, "status_message": None, "status_details": None}),
    ]  # fmt: skip


async def test_a_stream_fires_one_event_for_each_message() -> None:
    async def scenario(ends: Ends) -> Any:
        events = record(ends.channel, *CHANNEL_EVENTS)
        assert await ends.talk(b"a", b"b", b"c") == [b"A", b"B", b"C"]
        return [name for name, _ in events]

    names = await on_both(scenario)
    assert names == [
        "SendRequest", *3 * ["SendMessage"], "RecvInitialMetadata", *3 * ["RecvMessage"], "RecvTrailingMetadata",
    ]  # fmt: skip


@pytest.mark.parametrize(("name", "initial"), [("Fail", {}), ("FailLate", {"initial": "i"})])
async def test_a_failed_call_tells_its_status_with_details(name: str, initial: dict[str, str]) -> None:
    async def scenario(ends: Ends) -> Any:
        events = record(ends.channel, *CHANNEL_EVENTS)
        with pytest.raises(GRPCError) as caught:
            await ends.unary(name)
        assert caught.value.details == "details of NOT_FOUND"
        return events

    *_, received, status = await on_both(scenario)
    assert received == ("RecvInitialMetadata", {"metadata": initial})
    assert status[1] == {
        "metadata": {"trailing": "t"},
        "status": Status.NOT_FOUND,
        "status_message": "gone",
        "status_details": "details of NOT_FOUND",
    }


async def test_a_status_that_ends_a_send_fires_once(wire: Any) -> None:
    await wire.connect()
    events = record(wire.channel, *CHANNEL_EVENTS)
    with pytest.raises(GRPCError, match="full"):
        async with wire.channel.open() as call:
            await call.send_request()
            await wire.send(wire.response(1), wire.trailers(1, 8, "full"))
            with pytest.raises(GRPCError, match="full"):
                await call.send_message(b"x")
            with pytest.raises(GRPCError, match="full"):
                await call.send_message(b"y")
            await call.recv_initial_metadata()
            await call.recv_trailing_metadata()
    assert [name for name, _ in events if name.startswith("Recv")] == ["RecvTrailingMetadata", "RecvInitialMetadata"]


# --- what they may do -------------------------------------------------------------------------------------------------


async def test_listeners_change_metadata_and_messages() -> None:
    async def scenario(ends: Ends) -> Any:
        async def change(event: Any) -> None:
            if hasattr(event, "message"):
                event.message = event.message + b"+"
            else:
                event.metadata["added"] = type(event).__name__

        for kind in CHANNEL_EVENTS:
            listen(ends.channel, kind, change)
        async with ends.open("Unary", metadata={"mine": "m"}) as call:
            await call.send_message(b"m", end=True)
            reply = await call.recv_message()
            await call.recv_trailing_metadata()
        return reply, dict(call.initial_metadata), dict(call.trailing_metadata), ends.answers.seen

    assert await on_both(scenario) == (
        b"M++",
        {"initial": "i", "added": "RecvInitialMetadata"},
        {"trailing": "t", "added": "RecvTrailingMetadata"},
        [{"mine": "m", "added": "SendRequest"}, b"m+"],
    )


async def test_listeners_may_put_other_metadata_in_its_place_and_may_not_change_the_rest() -> None:
    async def scenario(ends: Ends) -> Any:
        refused: list[str] = []

        async def replace(event: Any) -> None:
            event.metadata = {"other": "o"}
            for name in event.__slots__:
                if name != "metadata":
                    with pytest.raises(AttributeError, match="Read-only"):
                        setattr(event, name, None)
                    refused.append(name)

        for kind in (SendRequest, RecvInitialMetadata, RecvTrailingMetadata):
            listen(ends.channel, kind, replace)
        async with ends.open("Unary") as call:
            await call.send_message(b"m", end=True)
            await call.recv_message()
            await call.recv_trailing_metadata()
        return refused, dict(call.initial_metadata), dict(call.trailing_metadata), ends.answers.seen[0]

    refused, *metadata = await on_both(scenario)
    assert refused == ["method_name", "deadline", "content_type", "status", "status_message", "status_details"]
    assert metadata == [{"other": "o"}] * 3


@pytest.mark.parametrize("kind", CHANNEL_EVENTS)
async def test_an_interrupted_event_goes_no_further(kind: type) -> None:
    async def scenario(ends: Ends) -> Any:
        told: list[int] = []

        async def first(event: Any) -> None:
            told.append(1)
            event.interrupt()

        async def second(event: Any) -> None:
            told.append(2)

        listen(ends.channel, kind, first)
        listen(ends.channel, kind, second)
        return told, await ends.unary()

    assert await on_both(scenario) == ([1], b"M")


@pytest.mark.parametrize("kind", CHANNEL_EVENTS)
@pytest.mark.parametrize(
    "error", [ValueError("mine"), GRPCError(Status.ABORTED, "mine"), StreamTerminatedError("mine")]
)
async def test_an_error_of_a_listener_ends_the_call_and_leaves_nothing(kind: type, error: Exception) -> None:
    async def scenario(ends: Ends) -> Any:
        async def fail(event: Any) -> None:
            raise error

        async def nothing(event: Any) -> None:
            event.interrupt()

        listen(ends.channel, kind, fail)
        failed = await outcome_of(ends.unary)
        for connection in getattr(ends.channel, "connections", ()):
            assert (connection.streams_open, connection.unread) == (0, 0)
        ends.channel.__dispatch__._listeners[kind].insert(0, nothing)
        return failed, await ends.unary()

    failed, then = await on_both(scenario)
    assert failed in ((ValueError, "mine"), (GRPCError, Status.ABORTED, "mine", None), StreamTerminatedError)
    assert then == b"M"


@pytest.mark.parametrize("kind", CHANNEL_EVENTS)
async def test_a_deadline_does_not_wait_for_a_listener(kind: type) -> None:
    async def scenario(ends: Ends) -> Any:
        ended: list[str] = []

        async def hang(event: Any) -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                ended.append("cancelled")
                raise

        listen(ends.channel, kind, hang)
        outcome = await outcome_of(lambda: ends.unary(timeout=1.0))
        if isinstance(ends.channel, Channel):
            assert outcome == (TimeoutError, "Deadline exceeded")
        else:  # the server's timer may be first
            assert outcome in ((TimeoutError, "Deadline exceeded"), (GRPCError, Status.DEADLINE_EXCEEDED, None, None))
        return ended

    assert await on_both(scenario) == ["cancelled"]


# --- a second start ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("refuse", ["reset", "goaway"])
async def test_a_call_that_is_sent_again_fires_each_event_once(wire: Any, refuse: str) -> None:
    await wire.connect()
    events = record(wire.channel, *CHANNEL_EVENTS)
    old, old_wire = wire.protocol, wire.writer

    async with wire.channel.open(metadata={"mine": "m"}) as call:
        await call.send_message(b"x", end=True)
        await wire.expect(HeadersFrame, 1)
        if refuse == "reset":
            await wire.send(wire.reset(1, ErrorCodes.REFUSED_STREAM))
            stream_id = 3
        else:
            frame = wire.goaway(0)
            channel = wire.channel
            await wire.connect()
            channel.protocols = [wire.protocol]
            old_wire.write(frame)
            await wire.settle()
            stream_id = 1
        reading = asyncio.ensure_future(call.recv_message())
        await wire.settle()
        wire._preface = wire._preface and old is wire.protocol
        wire.seen.clear()
        headers = await wire.expect(HeadersFrame, stream_id)
        assert ("mine", "m") in [(str(k), str(v)) for k, v in headers.decoded]
        await wire.send(wire.response(stream_id), wire.message(stream_id, b"y"), wire.trailers(stream_id))
        assert await reading == b"y"
        assert await call.recv_message() is None
    assert [name for name, _ in events] == [
        "SendRequest", "SendMessage", "RecvInitialMetadata", "RecvMessage", "RecvTrailingMetadata",
    ]  # fmt: skip


# --- a server's -------------------------------------------------------------------------------------------------------


@pytest.fixture(params=[Server, GzipServer], ids=["grpclib", "mixin"])
async def ends(anyio_backend: object, request: pytest.FixtureRequest) -> AsyncIterator[Ends]:
    made = Ends(our_channel, request.param)
    yield made
    await made.channel.aclose()  # type: ignore[attr-defined]
    await asyncio.sleep(0.01)


async def test_a_servers_events_tell_what_they_tell_in_grpclib(ends: Ends) -> None:
    events = record(ends.server, *SERVER_EVENTS)
    await ends.unary(timeout=7.4, metadata={"mine": "m"})
    names = [name for name, _ in events]
    assert names == ["RecvRequest", "SendInitialMetadata", "RecvMessage", "SendMessage", "SendTrailingMetadata"]
    request = events[0][1]
    assert request["metadata"] == {"mine": "m"}
    assert request["method_name"] == "/events/Unary"
    assert request["deadline"] == 7
    assert request["content_type"] == "application/grpc+bytes"
    assert request["user_agent"].startswith("ziggurat/")
    assert request["peer"].addr() is None
    assert events[4][1]["status"] is Status.OK
    assert events[4][1]["metadata"] == {"trailing": "t"}


async def test_a_servers_listeners_change_metadata_and_messages(ends: Ends) -> None:
    async def change(event: Any) -> None:
        if hasattr(event, "message"):
            event.message = event.message + b"+"
        else:
            event.metadata["added"] = type(event).__name__

    for kind in SERVER_EVENTS:
        listen(ends.server, kind, change)
    async with ends.open("Unary") as call:
        await call.send_message(b"m", end=True)
        assert await call.recv_message() == b"M++"
        await call.recv_trailing_metadata()
    assert call.initial_metadata["added"] == "SendInitialMetadata"
    assert call.trailing_metadata["added"] == "SendTrailingMetadata"
    assert ends.answers.seen == [{"added": "RecvRequest"}, b"m+"]


async def test_a_listener_may_put_another_handler_in_place_and_interrupt(ends: Ends) -> None:
    told: list[str] = []

    async def refuse(event: RecvRequest) -> None:
        async def denied(call: Any) -> None:
            raise GRPCError(Status.PERMISSION_DENIED, "not you")

        event.method_func = denied
        event.interrupt()

    async def later(event: RecvRequest) -> None:
        told.append(event.method_name)

    listen(ends.server, RecvRequest, refuse)
    listen(ends.server, RecvRequest, later)
    with pytest.raises(GRPCError, match="not you"):
        await ends.unary()
    assert told == ends.answers.seen == []


async def test_an_error_of_a_servers_listener_is_the_calls_status(ends: Ends) -> None:
    async def fail(event: RecvRequest) -> None:
        raise GRPCError(Status.UNAUTHENTICATED, "who are you?")

    listen(ends.server, RecvRequest, fail)
    with pytest.raises(GRPCError, match="who are you"):
        await ends.unary()
    assert ends.answers.seen == []
