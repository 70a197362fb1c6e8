from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.services.channel.raw_client import GzipServer, Methods, answer, dial, request

pytestmark = pytest.mark.asyncio_only


async def test_a_client_that_gives_up_cancels_the_handler(wire: Any, raw_service: Any, raw_codec: Any) -> None:
    await wire.serve(GzipServer([raw_service], codec=raw_codec)._protocol_factory)
    async with wire.channel.open("/raw/talk") as call:
        await call.send_message(b"hello")
        assert await call.recv_message() == b"hello"
        await call.cancel()
    await wire.until(lambda: raw_service.errors)
    assert isinstance(raw_service.errors[0], asyncio.CancelledError)


@pytest.mark.parametrize("compression", [None, "gzip"])
async def test_answers_say_what_the_server_inflates_and_whether_it_compresses(
    wire: Any, raw_service: Any, raw_codec: Any, compression: Any
) -> None:
    await wire.serve(GzipServer([raw_service], codec=raw_codec, compression=compression)._protocol_factory)
    async with wire.channel.open("/raw/talk") as call:
        await call.send_message(b"hello", end=True)
        assert await call.recv_message() == b"hello"
        headers = dict(call._head.fields)
        assert headers[b"grpc-accept-encoding"] == b"identity,gzip"
        assert call.encoding == compression


@pytest.mark.parametrize("last", ["trailers", "a message"])
async def test_nothing_is_written_while_the_transport_is_full(wire: Any, raw_codec: Any, last: str) -> None:
    full = asyncio.Event()

    async def flood(call: Any) -> None:
        await call.send_message(bytes(65_000))  # less than the client's window, more than the transport takes
        await full.wait()
        if last == "a message":
            await call.send_message(b"x")

    protocol = await dial(wire, GzipServer([Methods(echo=flood)], codec=raw_codec), capacity=1000)
    transport = protocol._transport
    assert transport is not None
    transport.set_write_buffer_limits(100)
    wire.go_deaf()
    await wire.send(request(wire, end=True))
    assert not protocol.writable
    written = protocol.bytes_sent
    full.set()
    await wire.settle()
    assert not protocol.handler.check_closed()  # it waits
    assert protocol.bytes_sent == written
    wire.writer.transport.resume_reading()
    headers, body = await answer(wire)
    assert headers["grpc-status"] == "0"
    assert len(body) == 65_005 + (6 if last == "a message" else 0)


async def test_a_call_that_waits_for_the_transport_is_cancelled_with_its_connection(wire: Any, raw_codec: Any) -> None:
    async def flood(call: Any) -> None:
        await call.send_message(bytes(65_000))

    protocol = await dial(wire, GzipServer([Methods(echo=flood)], codec=raw_codec), capacity=1000)
    transport = protocol._transport
    assert transport is not None
    transport.set_write_buffer_limits(100)
    wire.go_deaf()
    await wire.send(request(wire, end=True))
    protocol.abort()
    await protocol.lost.wait()
    await wire.until(protocol.handler.check_closed)


async def test_handlers_read_the_headers_as_grpclib_shows_them(wire: Any, raw_codec: Any) -> None:
    seen: list[Any] = []

    async def look(call: Any) -> None:
        seen.append(call.headers)

    await dial(wire, GzipServer([Methods(echo=look)], codec=raw_codec))
    await wire.send(request(wire, end=True, x_a="\u00e9"))
    await answer(wire)
    assert (":path", "/raw/echo") in seen[0]
