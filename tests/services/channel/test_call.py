# ruff: noqa: PT012  (a call is a block, and leaving it raises)
from __future__ import annotations

from typing import Any

import pytest
from grpclib.const import Cardinality, Status
from grpclib.exceptions import GRPCError, ProtocolError
from grpclib.server import Server

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


async def test_calls_to_a_well_behaved_server_work_as_in_grpclib(wire: Any, raw_service: Any, raw_codec: Any) -> None:
    await wire.serve(Server([raw_service], codec=raw_codec)._protocol_factory)
    assert await wire.channel.method("/raw/echo", UNARY)(b"one") == b"one"
    assert await wire.channel.method("/raw/talk")([b"a", b"b"]) == [b"a", b"b"]
    assert await wire.channel.method("/raw/count", Cardinality.STREAM_UNARY)([b"abc", b"de"]) == b"5"
    with pytest.raises(GRPCError):
        await wire.channel.method("/raw/none", UNARY)(b"x")


async def test_a_call_has_no_attributes_beyond_its_slots(wire: Any) -> None:
    await wire.connect()
    async with wire.channel.open(timeout=10.0, metadata={"x": "y"}) as call:
        await call.send_message(b"hello", end=True)
        await wire.send(wire.response(1), wire.message(1, b"x"), wire.trailers(1))
        assert [message async for message in call] == [b"x"]
        assert call.initial_metadata == {}
        assert call.peer is not None
    assert call.trailing_metadata == {}
    assert vars(call) == {}


async def test_a_deadline_is_readable(wire: Any) -> None:
    await wire.connect()
    assert wire.channel.open().deadline is None
    assert wire.channel.open(timeout=10.0).deadline.time_remaining() > 9.0


async def test_compression_that_was_not_announced_is_refused(wire: Any) -> None:
    await wire.connect()
    async with wire.channel.open() as call:
        await call.send_message(b"hello")
        with pytest.raises(ProtocolError, match="did not announce compression"):
            await call.send_message(b"hello", compress=True)
        await call.cancel()
