from __future__ import annotations

import asyncio
from typing import Any

import pytest
from grpclib.server import Server

from ziggurat.services.channel.server import CompressionMixin

pytestmark = pytest.mark.asyncio_only


class GzipServer(CompressionMixin, Server):
    pass


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
