"""How calls start and end in a server, as its clients and its log see it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from grpclib.const import Cardinality, Status
from grpclib.events import RecvRequest, listen
from grpclib.exceptions import GRPCError, StreamTerminatedError
from grpclib.server import Stream
from hyperframe.frame import RstStreamFrame

from tests.services.channel.raw_client import GzipServer, Methods, answer, dial, request

pytestmark = pytest.mark.asyncio_only

FOREVER = 1e9


@pytest.fixture(autouse=True)
def _all_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "grpclib.server")


def serving(codec: Any, cardinality: Cardinality = Cardinality.STREAM_STREAM, **handlers: Any) -> GzipServer:
    return GzipServer([Methods(cardinality, **handlers)], codec=codec)


async def ask(wire: Any, server: GzipServer, **changed: str | None) -> dict[str, str]:
    """Send one request without a message, and return all headers of its answer."""
    await dial(wire, server)
    await wire.send(request(wire, end=True, **changed))
    return (await answer(wire))[0]


async def end(call: Any) -> None:
    pass


async def test_a_handler_that_returns_has_succeeded(
    wire: Any, raw_codec: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert (await ask(wire, serving(raw_codec, echo=end)))["grpc-status"] == "0"
    assert caplog.text == ""


async def test_a_handlers_error_is_the_status(wire: Any, raw_codec: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def fail(call: Any) -> None:
        raise GRPCError(Status.NOT_FOUND, "caf\u00e9\n")

    headers = await ask(wire, serving(raw_codec, echo=fail))
    assert headers["grpc-status"] == "5"
    assert headers["grpc-message"] == "caf%C3%A9%0A"
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("error", "line"),
    [(KeyError("x"), "Application error"), (TimeoutError(), "Timeout occurred"), (OSError(), "Application error")],
)
async def test_any_other_error_of_a_handler_is_unknown_and_logged(
    wire: Any, raw_codec: Any, caplog: pytest.LogCaptureFixture, error: Exception, line: str
) -> None:
    async def fail(call: Any) -> None:
        raise error

    headers = await ask(wire, serving(raw_codec, echo=fail))
    assert (headers["grpc-status"], headers["grpc-message"]) == ("2", "Internal Server Error")
    [record] = caplog.records
    assert record.getMessage() == line
    assert record.exc_info is not None
    assert record.exc_info[1] is error


async def test_a_unary_handler_that_answers_nothing_is_told(
    wire: Any, raw_codec: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert (await ask(wire, serving(raw_codec, Cardinality.STREAM_UNARY, echo=end)))["grpc-status"] == "2"
    assert "requires a single message to be sent: '/raw/echo'" in caplog.text


@pytest.mark.parametrize(
    ("changed", "status", "grpc_status"),
    [
        ({"path": "/raw/none"}, "200", "12"),
        ({"method": "GET"}, "405", None),
        ({"content-type": "text/html"}, "415", "2"),
        ({"te": None}, "400", "2"),
        ({"grpc-timeout": "soon"}, "200", "13"),
        ({"grpc-encoding": "br"}, "200", "12"),
        ({"x-bin": "?"}, "200", "13"),
    ],
)
async def test_a_clients_mistake_is_answered_and_leaves_no_line(
    wire: Any,
    raw_codec: Any,
    caplog: pytest.LogCaptureFixture,
    changed: dict[str, str | None],
    status: str,
    grpc_status: str | None,
) -> None:
    headers = await ask(wire, serving(raw_codec, echo=end), **changed)
    assert (headers[":status"], headers.get("grpc-status")) == (status, grpc_status)
    assert caplog.text == ""


async def test_the_rest_of_a_refused_request_is_not_wanted(wire: Any, raw_codec: Any) -> None:
    protocol = await dial(wire, serving(raw_codec, echo=end))
    await wire.send(request(wire, path="/raw/none"))
    assert (await answer(wire))[0]["grpc-status"] == "12"
    assert (await wire.expect(RstStreamFrame, 1)).error_code == 0
    await wire.send(wire.message(1, bytes(10_000)))
    assert protocol.core.unread == 0
    assert not protocol.closing


async def test_a_deadline_cancels_the_handler(wire: Any, raw_codec: Any, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[Any] = []

    async def wait(call: Stream[bytes, bytes]) -> None:
        assert call.deadline is not None
        seen.append(call.deadline.time_remaining())
        try:
            await asyncio.sleep(FOREVER)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    loop = asyncio.get_running_loop()
    started = loop.time()
    headers = await ask(wire, serving(raw_codec, echo=wait), **{"grpc-timeout": "5S"})
    assert headers["grpc-status"] == "4"
    assert loop.time() - started == pytest.approx(5)
    assert seen == [pytest.approx(5, abs=1), "cancelled"]
    assert caplog.messages == ["Deadline exceeded"]


async def test_a_deadline_that_does_not_come_is_forgotten(wire: Any, raw_codec: Any) -> None:
    assert (await ask(wire, serving(raw_codec, echo=end), **{"grpc-timeout": "5S"}))["grpc-status"] == "0"
    loop: Any = asyncio.get_running_loop()
    assert not [timer for timer in loop._scheduled if not timer.cancelled() and "expire" in repr(timer)]


async def test_a_handler_that_will_not_be_cancelled_is_logged(
    wire: Any, raw_codec: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def stay(call: Any) -> None:
        try:
            await asyncio.sleep(FOREVER)
        except asyncio.CancelledError:
            raise KeyError("left") from None

    assert (await ask(wire, serving(raw_codec, echo=stay), **{"grpc-timeout": "5S"}))["grpc-status"] == "4"
    assert caplog.messages == ["Failed to handle cancellation", "Deadline exceeded"]
    assert "KeyError: 'left'" in caplog.text


async def test_a_client_that_resets_cancels_the_handler_and_leaves_one_line(
    wire: Any, raw_codec: Any, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[BaseException] = []

    async def wait(call: Any) -> None:
        try:
            await call.recv_message()
        except BaseException as error:
            seen.append(error)
            raise

    protocol = await dial(wire, serving(raw_codec, echo=wait))
    await wire.send(request(wire))
    await wire.send(wire.reset(1, 8))
    assert [type(error) for error in seen] == [asyncio.CancelledError]
    assert caplog.messages == [
        "Request was cancelled: Stream reset by remote party, error_code: 8 (CANCEL)",
    ]
    assert protocol.handler.check_closed()


async def test_a_request_that_is_reset_before_its_handler_runs_holds_nothing(wire: Any, raw_codec: Any) -> None:
    async def never(call: Any) -> None:
        raise AssertionError

    protocol = await dial(wire, serving(raw_codec, echo=never))
    await wire.send(request(wire), wire.message(1, bytes(10_000)), wire.reset(1, 8))
    assert protocol.core.unread == 0
    assert protocol.handler.check_closed()


async def test_what_a_handler_has_not_read_is_let_go(wire: Any, raw_codec: Any) -> None:
    protocol = await dial(wire, serving(raw_codec, echo=end))
    await wire.send(request(wire), wire.message(1, bytes(10_000)))
    assert (await answer(wire))[0]["grpc-status"] == "0"
    await wire.send(wire.message(1, bytes(10_000)))
    assert protocol.core.unread == 0


async def test_a_malformed_stream_cancels_its_handler_alone(
    wire: Any, raw_codec: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def echo(call: Any) -> None:
        async for message in call:
            await call.send_message(message)

    await dial(wire, serving(raw_codec, echo=echo))
    await wire.send(request(wire), request(wire, 3))
    await wire.send(wire.window(1, 0))
    await wire.send(wire.message(3, b"x", end=True))
    assert (await answer(wire, 3))[1] == b"\0\0\0\0\1x"
    assert caplog.messages == ["Request was cancelled: Protocol error: WINDOW_UPDATE of 0 bytes"]


async def test_a_listener_may_change_the_metadata_and_the_handler(wire: Any, raw_codec: Any) -> None:
    seen: list[Any] = []

    async def other(call: Stream[bytes, bytes]) -> None:
        seen.append(call.metadata)
        await call.send_trailing_metadata(metadata={"x-other": "yes"})

    async def change(event: RecvRequest) -> None:
        assert event.method_name == "/raw/echo"
        assert event.content_type == "application/grpc+raw"
        assert event.user_agent == "me/1"
        assert event.deadline is None
        event.metadata["x-more"] = "1"
        event.method_func = other  # type: ignore[assignment]

    server = serving(raw_codec, echo=end)
    listen(server, RecvRequest, change)
    headers = await ask(wire, server, **{"x-a": "0", "user-agent": "me/1"})
    assert headers["x-other"] == "yes"
    assert [dict(metadata) for metadata in seen] == [{"x-a": "0", "x-more": "1"}]


async def test_closing_cancels_the_handlers_waits_for_them_and_closes_the_connection(
    wire: Any, raw_codec: Any, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []

    async def linger(call: Any) -> None:
        try:
            await asyncio.sleep(FOREVER)
        finally:
            await asyncio.sleep(3)
            seen.append("done")

    protocol = await dial(wire, serving(raw_codec, echo=linger))
    await wire.send(request(wire))
    handler = protocol.handler
    handler.close()
    assert not handler.check_closed()
    await wire.send(request(wire, 3))
    assert (await wire.expect(RstStreamFrame, 3)).error_code == 7  # REFUSED_STREAM
    assert not protocol.closing
    await handler.wait_closed()
    assert seen == ["done"]
    await protocol.lost.wait()
    assert caplog.text == ""


async def test_closing_without_calls_closes_the_connection_at_once(wire: Any, raw_codec: Any) -> None:
    protocol = await dial(wire, serving(raw_codec, echo=end))
    protocol.handler.close()
    await protocol.handler.wait_closed()
    await protocol.lost.wait()
    assert protocol.failure is None


async def test_a_handler_that_cancelled_its_call_and_goes_on_is_an_application_error(
    wire: Any, raw_codec: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def cancel(call: Any) -> None:
        await call.cancel()
        with pytest.raises(StreamTerminatedError, match="the call was cancelled"):
            await call.recv_message()
        await call.send_message(b"x")

    await dial(wire, serving(raw_codec, echo=cancel))
    await wire.send(request(wire))
    assert (await wire.expect(RstStreamFrame, 1)).error_code == 0
    assert caplog.messages == ["Application error"]
