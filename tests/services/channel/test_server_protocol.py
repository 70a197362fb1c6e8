from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hyperframe.frame import GoAwayFrame, RstStreamFrame

from tests.services.channel.raw_client import GzipServer, Methods, answer, dial, request

pytestmark = pytest.mark.asyncio_only


async def echo(call: Any) -> None:
    async for message in call:
        await call.send_message(message)


@pytest.fixture
async def server(raw_codec: Any, anyio_backend: object) -> GzipServer:
    return GzipServer([Methods(echo=echo)], codec=raw_codec)


async def test_head_message_and_trailers_leave_in_one_write(wire: Any, server: GzipServer) -> None:
    protocol = await dial(wire, server)
    writes: list[bytes] = []
    transport = protocol._transport
    assert transport is not None
    protocol._transport = Recorder(transport, writes)  # type: ignore[assignment]
    await wire.send(request(wire), wire.message(1, b"x", end=True))
    headers, body = await answer(wire)
    assert (headers["grpc-status"], body) == ("0", b"\0\0\0\0\1x")
    assert len([data for data in writes if b"x" in data]) == 1
    assert len(writes) == 1


class Recorder:
    """A transport that notes what is written to it."""

    def __init__(self, transport: Any, writes: list[bytes]) -> None:
        self.transport = transport
        self.writes = writes

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        self.transport.write(data)


@pytest.mark.parametrize("missing", [":method", ":path", ":scheme"])
async def test_a_malformed_request_is_reset_and_leaves_no_traceback(
    wire: Any, server: GzipServer, missing: str, caplog: pytest.LogCaptureFixture
) -> None:
    await dial(wire, server)
    await wire.send(request(wire, **{missing: None}), request(wire, 3), wire.message(3, b"x", end=True))
    assert (await wire.expect(RstStreamFrame, 1)).error_code == 1
    assert (await answer(wire, 3))[0]["grpc-status"] == "0"
    assert caplog.text == ""


async def test_a_goaway_lets_calls_finish_and_then_the_connection_closes(wire: Any, server: GzipServer) -> None:
    protocol = await dial(wire, server)
    await wire.send(request(wire), wire.goaway(0))
    await wire.send(wire.message(1, b"x", end=True))
    assert (await answer(wire))[0]["grpc-status"] == "0"
    await protocol.lost.wait()
    assert protocol.failure is None


async def test_a_goaway_without_calls_closes_the_connection(wire: Any, server: GzipServer) -> None:
    protocol = await dial(wire, server)
    await wire.send(wire.goaway(0))
    await protocol.lost.wait()
    assert protocol.failure is None


async def test_a_goaway_with_an_error_ends_the_connection_and_is_the_reason(wire: Any, server: GzipServer) -> None:
    protocol = await dial(wire, server)
    await wire.send(request(wire), wire.goaway(0, 2, b"we\nbroke"))
    await protocol.lost.wait()
    assert protocol.failure == "GOAWAY INTERNAL_ERROR (we broke)"


async def test_a_client_that_breaks_the_protocol_gets_a_goaway(wire: Any, server: GzipServer) -> None:
    protocol = await dial(wire, server)
    await wire.send(wire.data(7, b"x"))
    assert (await wire.expect(GoAwayFrame)).error_code == 1
    await protocol.lost.wait()
    assert protocol.failure == "HTTP/2 protocol error: DATA on stream 7, which was never opened"


async def test_the_end_of_a_connection_cancels_its_handlers(wire: Any, raw_codec: Any) -> None:
    seen: list[BaseException] = []

    async def wait(call: Any) -> None:
        try:
            await asyncio.Event().wait()
        except BaseException as error:
            seen.append(error)
            raise

    protocol = await dial(wire, GzipServer([Methods(echo=wait)], codec=raw_codec))
    await wire.send(request(wire))
    wire.writer.close()
    await protocol.lost.wait()
    await wire.until(protocol.handler.check_closed)
    assert [type(error) for error in seen] == [asyncio.CancelledError]
    assert protocol.handler.closing


async def test_fail_soon_keeps_the_first_reason(wire: Any, server: GzipServer) -> None:
    protocol = await dial(wire, server)
    protocol.fail_soon("first")
    protocol.fail_soon("second")
    await protocol.lost.wait()
    assert protocol.failure == "first"


async def test_a_client_that_always_cancels_is_no_attacker_if_it_takes_its_time(wire: Any, server: GzipServer) -> None:
    protocol = await dial(wire, server)
    for second in range(15):
        for number in range(100):
            stream_id = 2 * (100 * second + number) + 1
            wire.writer.write(request(wire, stream_id) + wire.reset(stream_id, 8))
        await asyncio.sleep(1.0)
    assert protocol.failure is None


async def test_a_client_that_resets_one_request_after_the_other_is_cut_off(wire: Any, server: GzipServer) -> None:
    protocol = await dial(wire, server)
    for number in range(1100):
        wire.writer.write(request(wire, 2 * number + 1) + wire.reset(2 * number + 1, 8))
    await protocol.lost.wait()
    assert protocol.failure is not None
    assert "resets one request after the other" in protocol.failure
