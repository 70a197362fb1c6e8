# ruff: noqa: PT012  (a call is a block, and leaving it raises)
from __future__ import annotations

from typing import Any

import pytest
from grpclib.const import Cardinality, Status
from grpclib.exceptions import GRPCError, ProtocolError
from grpclib.server import Server

from ziggurat.services.channel.refusal import CallRefused
from ziggurat.services.channel.request import MAX_SENDS

pytestmark = pytest.mark.asyncio_only

UNARY = Cardinality.UNARY_UNARY


async def test_asking_for_the_status_of_a_running_call_is_still_an_error(wire: Any) -> None:
    await wire.connect()
    async with wire.channel.open() as call:
        await call.send_message(b"hello")
        await wire.send(wire.response(1))
        await call.recv_initial_metadata()
        with pytest.raises(ProtocolError, match="not ended"):
            await call.recv_trailing_metadata()
        await call.cancel()


async def test_leaving_the_call_raises_the_status_even_if_the_connection_is_gone(wire: Any) -> None:
    await wire.connect()
    with pytest.raises(GRPCError) as caught:
        async with wire.channel.open() as call:
            await call.send_message(b"hello", end=True)
            wire.writer.write(wire.response(1) + wire.message(1, b"x") + wire.trailers(1, 8, "full"))
            wire.writer.close()
            await wire.protocol.lost.wait()
    assert (caught.value.status, caught.value.message) == (Status.RESOURCE_EXHAUSTED, "full")


async def test_a_request_that_was_not_sent_goes_to_the_next_connection(
    wire: Any, raw_service: Any, raw_codec: Any
) -> None:
    server = Server([raw_service], codec=raw_codec)
    await wire.serve(server._protocol_factory)
    closed = wire.protocol
    await wire.serve(server._protocol_factory)
    closed.close()
    asked = iter([closed, closed, wire.protocol, wire.protocol])
    channel = wire.channel

    async def connect() -> Any:
        return next(asked)

    channel.__connect__ = connect
    assert await channel.method("/raw/echo", UNARY)(b"x") == b"x"


async def test_the_number_of_tries_is_limited(wire: Any) -> None:
    await wire.connect()
    wire.protocol.close()
    asked = 0

    async def connect() -> Any:
        nonlocal asked
        asked += 1
        return wire.protocol

    wire.channel.__connect__ = connect
    with pytest.raises(CallRefused, match="Connection closed: the call was not sent"):
        await wire.channel.method("/raw/echo", UNARY)(b"x")
    assert asked == MAX_SENDS


async def test_calls_to_a_well_behaved_server_work_as_in_grpclib(wire: Any, raw_service: Any, raw_codec: Any) -> None:
    await wire.serve(Server([raw_service], codec=raw_codec)._protocol_factory)
    assert await wire.channel.method("/raw/echo", UNARY)(b"one") == b"one"
    assert await wire.channel.method("/raw/talk")([b"a", b"b"]) == [b"a", b"b"]
    assert await wire.channel.method("/raw/count", Cardinality.STREAM_UNARY)([b"abc", b"de"]) == b"5"
    with pytest.raises(GRPCError):
        await wire.channel.method("/raw/none", UNARY)(b"x")
