"""What a handler can do with its call."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from grpclib.const import Cardinality, Status
from grpclib.encoding.base import StatusDetailsCodecBase
from grpclib.events import RecvMessage, SendInitialMetadata, SendMessage, SendTrailingMetadata, listen
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError
from grpclib.server import Stream

from tests.services.channel.raw_client import GzipServer, Methods, answer, dial, request

pytestmark = pytest.mark.asyncio_only

UNARY = Cardinality.UNARY_UNARY


class Details(StatusDetailsCodecBase):
    """Details are their bytes."""

    def encode(self, status: Status, message: str | None, details: Any) -> bytes:
        return bytes(details)

    def decode(self, status: Status, message: str | None, data: bytes) -> bytes:
        raise AssertionError


async def ask(
    wire: Any, codec: Any, handler: Any, *messages: bytes, cardinality: Cardinality = Cardinality.STREAM_STREAM
) -> tuple[dict[str, str], bytes]:
    """Send one request with these messages to a handler; return its answer's headers and body."""
    server = GzipServer([Methods(cardinality, echo=handler)], codec=codec, status_details_codec=Details())
    await dial(wire, server)
    await wire.send(
        request(wire, x_a="1"), *[wire.message(1, message) for message in messages], wire.data(1, b"", end=True)
    )
    return await answer(wire)


async def test_a_handler_sees_the_request(wire: Any, raw_codec: Any) -> None:
    async def look(call: Stream[bytes, bytes]) -> None:
        assert isinstance(call, Stream)
        assert dict(call.metadata or {}) == {"x-a": "1"}
        assert call.deadline is call.user_agent is None
        assert call.peer.cert() is None
        assert (call._method_name, call._cardinality) == ("/raw/echo", Cardinality.STREAM_STREAM)
        assert (call._recv_type, call._send_type) == (bytes, bytes)
        assert dict(call._stream.headers or ())["te"] == "trailers"

    assert (await ask(wire, raw_codec, look))[0]["grpc-status"] == "0"


@pytest.mark.parametrize(("messages", "text"), [((), "no message"), ((b"a", b"b"), "more than one message")])
@pytest.mark.parametrize("cardinality", [UNARY, Cardinality.UNARY_STREAM])
async def test_a_unary_request_has_one_message(
    wire: Any, raw_codec: Any, messages: tuple[bytes, ...], text: str, cardinality: Cardinality
) -> None:
    async def echo(call: Any) -> None:
        await call.send_message(await call.recv_message())

    headers, body = await ask(wire, raw_codec, echo, *messages, cardinality=cardinality)
    assert headers["grpc-status"] == "12"
    assert text in headers["grpc-message"]
    assert body == b""


async def test_a_unary_request_is_handed_over_with_its_end(wire: Any, raw_codec: Any) -> None:
    read: list[Any] = []

    async def echo(call: Any) -> None:
        read.append(await call.recv_message())
        read.append(await call.recv_message())
        await call.send_message(b"y")

    await dial(wire, GzipServer([Methods(UNARY, echo=echo)], codec=raw_codec))
    await wire.send(request(wire), wire.message(1, b"x"))
    assert read == []
    await wire.send(wire.data(1, b"", end=True))
    assert read == [b"x", None]
    assert (await answer(wire))[0]["grpc-status"] == "0"


async def test_a_second_message_that_comes_later_is_refused_as_well(wire: Any, raw_codec: Any) -> None:
    async def echo(call: Any) -> None:
        await call.send_message(await call.recv_message())

    await dial(wire, GzipServer([Methods(UNARY, echo=echo)], codec=raw_codec))
    await wire.send(request(wire), wire.message(1, b"x"))
    await wire.send(wire.message(1, b"x"))
    assert (await answer(wire))[0]["grpc-status"] == "12"


async def test_a_reset_while_the_end_of_a_request_is_awaited_wakes_the_reader(wire: Any, raw_codec: Any) -> None:
    seen: list[BaseException] = []

    async def read(call: Any) -> None:
        try:
            await call.recv_message()
        except StreamTerminatedError as error:
            seen.append(error)

    async def echo(call: Any) -> None:
        reading.append(asyncio.create_task(read(call)))
        await asyncio.Event().wait()

    reading: list[asyncio.Task[None]] = []
    await dial(wire, GzipServer([Methods(UNARY, echo=echo)], codec=raw_codec))
    await wire.send(request(wire), wire.message(1, b"x"))
    await wire.send(wire.reset(1, 8))
    assert len(seen) == 1


class Broken:
    """A codec that decodes nothing."""

    __content_subtype__ = "raw"

    def encode(self, message: Any, message_type: Any) -> bytes:
        return bytes(message)

    def decode(self, data: bytes, message_type: Any) -> bytes:
        if data == b"status":
            raise GRPCError(Status.DATA_LOSS, "so the codec says")
        raise ValueError("odd")


@pytest.mark.parametrize(
    ("message", "status", "text"),
    [(b"x", "13", "a message cannot be decoded: odd"), (b"status", "15", "so the codec says")],
)
async def test_a_message_that_cannot_be_decoded_is_an_internal_error(
    wire: Any, caplog: pytest.LogCaptureFixture, message: bytes, status: str, text: str
) -> None:
    async def read(call: Any) -> None:
        await call.recv_message()

    headers, _ = await ask(wire, Broken(), read, message)
    assert (headers["grpc-status"], headers["grpc-message"]) == (status, text)
    assert caplog.text == ""


async def test_metadata_goes_out_with_the_headers_and_with_the_status(wire: Any, raw_codec: Any) -> None:
    async def tell(call: Any) -> None:
        await call.send_initial_metadata(metadata={"x-first": "1"})
        await call.send_trailing_metadata(
            status=Status.ABORTED, status_message="m", status_details=b"\0\1", metadata=[("x-last-bin", b"\xff")]
        )

    headers, _ = await ask(wire, raw_codec, tell)
    assert headers["x-first"] == "1"
    assert headers["x-last-bin"] == "/w"
    assert (headers["grpc-status"], headers["grpc-message"]) == ("10", "m")
    assert headers["grpc-status-details-bin"] == "AAE"


async def test_a_status_without_a_message_comes_in_one_section(wire: Any, raw_codec: Any) -> None:
    async def fail(call: Any) -> None:
        raise GRPCError(Status.NOT_FOUND, None, b"why")

    headers, _ = await ask(wire, raw_codec, fail)
    assert list(headers)[:4] == [":status", "content-type", "grpc-accept-encoding", "grpc-status"]
    assert headers["grpc-status-details-bin"] == "d2h5"


@pytest.mark.parametrize("bad", [{"grpc-x": "1"}, {"x": "\n"}])
async def test_metadata_that_cannot_be_sent_is_the_handlers_error(
    wire: Any, raw_codec: Any, bad: dict[str, str]
) -> None:
    async def tell(call: Any) -> None:
        with pytest.raises(ValueError, match="Invalid metadata"):
            await call.send_initial_metadata(metadata=bad)

    assert (await ask(wire, raw_codec, tell))[0]["grpc-status"] == "0"


async def test_misuse_is_a_protocol_error(wire: Any, raw_codec: Any) -> None:
    async def misuse(call: Any) -> None:
        with pytest.raises(ProtocolError, match="requires a single message"):
            await call.send_trailing_metadata()
        await call.send_message(b"x")
        with pytest.raises(ProtocolError, match="Message was already sent"):
            await call.send_message(b"x")
        with pytest.raises(ProtocolError, match="Initial metadata was already sent"):
            await call.send_initial_metadata()
        await call.send_trailing_metadata()
        with pytest.raises(ProtocolError, match="Trailing metadata was already sent"):
            await call.send_trailing_metadata()
        await call.cancel()
        with pytest.raises(ProtocolError, match="already cancelled"):
            await call.cancel()

    headers, body = await ask(wire, raw_codec, misuse, b"x", cardinality=UNARY)
    assert (headers["grpc-status"], body) == ("0", b"\0\0\0\0\1x")


async def test_nothing_can_be_sent_behind_the_status(wire: Any, raw_codec: Any) -> None:
    async def send(call: Any) -> None:
        await call.send_trailing_metadata()
        with pytest.raises(StreamTerminatedError, match="the call is over"):
            await call.send_message(b"x")

    headers, body = await ask(wire, raw_codec, send)
    assert (headers["grpc-status"], body) == ("0", b"")


async def test_who_is_in_the_middle_of_a_message_hears_of_the_status(wire: Any, raw_codec: Any) -> None:
    seen: list[BaseException] = []

    async def send(call: Any) -> None:
        try:
            await call.send_message(bytes(200_000))  # more than the client's window
        except StreamTerminatedError as error:
            seen.append(error)

    async def leave(call: Any) -> None:
        sending.append(asyncio.create_task(send(call)))
        await asyncio.sleep(1)

    sending: list[asyncio.Task[None]] = []
    headers, body = await ask(wire, raw_codec, leave)
    assert headers["grpc-status"] == "0"
    assert 0 < len(body) < 200_000
    await sending[0]
    assert len(seen) == 1


async def test_events_see_and_change_what_passes(wire: Any, raw_codec: Any) -> None:
    async def echo(call: Any) -> None:
        async for message in call:
            await call.send_message(message)

    async def received(event: RecvMessage) -> None:
        event.message += b" received"

    async def sent(event: SendMessage) -> None:
        event.message += b" sent"

    async def begun(event: SendInitialMetadata) -> None:
        event.metadata["x-first"] = "1"
        event.interrupt()

    async def never(event: SendInitialMetadata) -> None:
        raise AssertionError

    async def ended(event: SendTrailingMetadata) -> None:
        assert (event.status, event.status_message, event.status_details) == (Status.OK, None, None)
        event.metadata["x-last"] = "2"

    server = GzipServer([Methods(echo=echo)], codec=raw_codec)
    listen(server, RecvMessage, received)
    listen(server, SendMessage, sent)
    listen(server, SendInitialMetadata, begun)
    listen(server, SendInitialMetadata, never)
    listen(server, SendTrailingMetadata, ended)
    await dial(wire, server)
    await wire.send(request(wire), wire.message(1, b"x", end=True))
    headers, body = await answer(wire)
    assert body[5:] == b"x received sent"
    assert (headers["x-first"], headers["x-last"]) == ("1", "2")
