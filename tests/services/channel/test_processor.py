# ruff: noqa: PT012  (a call is a block, and leaving it raises)
from __future__ import annotations

from typing import Any

import pytest
from grpclib.exceptions import StreamTerminatedError
from h2.errors import ErrorCodes

from ziggurat.services.channel.processor import error_name

pytestmark = pytest.mark.asyncio_only


def test_an_error_code_has_a_name_or_keeps_its_number() -> None:
    assert error_name(ErrorCodes.CANCEL) == "CANCEL"
    assert error_name(0x99) == "error code 0x99"


async def test_a_reset_for_a_call_that_is_over_is_nobodys_business(wire: Any) -> None:
    await wire.connect()
    async with wire.channel.open() as call:
        await call.send_message(b"hello")
        await call.cancel()
    await wire.send(wire.reset(1), wire.window(1, 5), wire.data(1, b"late"))
    assert wire.protocol.accepting


async def test_what_was_never_read_is_given_back(wire: Any) -> None:
    await wire.connect(connection_window=65_535)
    for stream_id in (1, 3, 5, 7):
        async with wire.channel.open() as call:
            await call.send_message(b"hello")
            await wire.send(wire.response(stream_id), wire.message(stream_id, bytes(30_000)))
            await call.recv_initial_metadata()
            await call.cancel()
    assert wire.protocol.connection._connection.inbound_flow_control_window > 30_000


async def test_an_engine_that_resets_a_stream_ends_its_call(wire: Any) -> None:
    await wire.connect()
    with pytest.raises(StreamTerminatedError, match=r"Protocol error \(FLOW_CONTROL_ERROR\)"):
        async with wire.channel.open() as call:
            await call.send_message(b"hello")
            await wire.send(wire.window(1, 2**31 - 1))
            await call.recv_message()
    assert wire.protocol.accepting


async def test_an_unknown_code_is_told_as_it_is(wire: Any) -> None:
    await wire.connect()
    with pytest.raises(StreamTerminatedError, match=r"error_code: 153 \(error code 0x99\)"):
        async with wire.channel.open() as call:
            await call.send_message(b"hello")
            await wire.send(wire.reset(1, 0x99))
            await call.recv_message()


async def test_a_peer_cannot_forge_a_line_with_its_debug_data(wire: Any) -> None:
    await wire.connect()
    await wire.send(wire.goaway(0, 2, b"one\nline \xff" + b"x" * 1000))
    await wire.protocol.lost.wait()
    assert wire.protocol.failure.startswith(r"GOAWAY INTERNAL_ERROR (one line \xffxx")
    assert len(wire.protocol.failure) < 300
