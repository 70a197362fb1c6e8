"""Our channel against a real kaspad, whose server is tonic's."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from grpclib.client import StreamStreamMethod
from grpclib.const import Status
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import GRPCError, StreamTerminatedError

from tests.interop.kaspad import Program, starting
from ziggurat.layers import ServiceBuilder
from ziggurat.services import ChannelState, Endpoint, TcpConnector
from ziggurat.services.channel import Channel
from ziggurat.services.channel.call import Call

pytestmark = [pytest.mark.real_io, pytest.mark.asyncio_only]

VERACK, VERSION, REJECT, READY, REQUEST_ADDRESSES = 19, 20, 22, 50, 6
"""Fields of KaspadMessage's ``payload``."""

LIMIT = 20.0


@pytest.fixture(scope="module")
def kaspad(new_folder: Callable[[str], Path]) -> Iterator[Program]:
    with starting(new_folder) as program:
        yield program


class RawCodec(CodecBase):
    """A codec whose messages are bytes, so that the tests do not depend on generated code."""

    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:
        return bytes(message)

    def decode(self, data: bytes, message_type: Any) -> bytes:
        return data


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def text(field: int, value: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(value)) + value


def payload(message: bytes) -> tuple[int, bytes]:
    """Return the field number and the value of a KaspadMessage's payload."""

    def read(at: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            value |= (message[at] & 127) << shift
            at, shift = at + 1, shift + 7
            if message[at - 1] < 128:
                return value, at

    tag, at = read(0)
    while tag & 7 == 0:
        _, at = read(at)
        tag, at = read(at)
    size, at = read(at)
    return tag >> 3, message[at : at + size]


def version(network: bytes, protocol: int = 11) -> bytes:
    agent, identity = b"/interop:0/", os.urandom(16)
    return text(VERSION, number(1, protocol) + number(3, 1) + text(5, identity) + text(6, agent) + text(10, network))


def endpoint(kaspad: Program, **settings: Any) -> Endpoint:
    return Endpoint(f"http://{kaspad.address}", codec=RawCodec(), **settings)


@asynccontextmanager
async def message_stream(channel: Channel) -> AsyncIterator[Call[bytes, bytes]]:
    method = StreamStreamMethod(channel, "/protowire.P2P/MessageStream", bytes, bytes)
    with anyio.fail_after(LIMIT):
        async with method.open() as stream:
            yield stream


async def receive(stream: Call[bytes, bytes]) -> tuple[int, bytes]:
    message = await stream.recv_message()
    assert message is not None
    return payload(message)


@pytest.mark.parametrize("proxied", ["direct", "microsocks", "dante"])
async def test_kaspad_sends_its_version(kaspad: Program, proxied: str, request: pytest.FixtureRequest) -> None:
    builder = ServiceBuilder()
    if proxied != "direct":
        builder = builder.socks5(request.getfixturevalue(proxied))
    connector = builder.service(TcpConnector())
    async with endpoint(kaspad).connect(connector) as channel, message_stream(channel) as stream:
        await stream.send_request()
        field, value = await receive(stream)
        assert stream.encoding == "gzip"
        await stream.cancel()

    assert field == VERSION
    assert b"kaspa-devnet" in value
    assert b"/kaspad:" in value


async def test_its_last_message_is_read_although_a_reset_follows(kaspad: Program) -> None:
    for _ in range(5):
        async with endpoint(kaspad).connect(TcpConnector()) as channel, message_stream(channel) as stream:
            await stream.send_message(version(b"kaspa-mainnet"))
            assert (await receive(stream))[0] == VERSION
            await stream.send_message(text(VERACK, b""))
            assert (await receive(stream))[0] == VERACK
            field, reason = await receive(stream)
            assert await stream.recv_message() is None
            await stream.recv_trailing_metadata()
            with pytest.raises(StreamTerminatedError, match="NO_ERROR"):
                await stream.send_message(text(READY, b""))

        assert field == REJECT
        assert b"Network mismatch - local: kaspa-devnet, remote: kaspa-mainnet" in reason


@pytest.mark.parametrize("compression", [None, "gzip"])
async def test_a_complete_handshake(kaspad: Program, compression: Any) -> None:
    connector = TcpConnector()
    async with (
        endpoint(kaspad, compression=compression).connect(connector) as channel,
        message_stream(channel) as stream,
    ):
        await stream.send_message(version(b"kaspa-devnet"))
        assert (await receive(stream))[0] == VERSION
        await stream.send_message(text(VERACK, b""))
        assert (await receive(stream))[0] == VERACK
        assert (await receive(stream))[0] == READY
        await stream.send_message(text(READY, b""))
        assert (await receive(stream))[0] == REQUEST_ADDRESSES
        await stream.cancel()


async def test_an_unknown_method_is_unimplemented(kaspad: Program) -> None:
    async with endpoint(kaspad).connect(TcpConnector()) as channel:
        with anyio.fail_after(LIMIT), pytest.raises(GRPCError) as caught:
            await StreamStreamMethod(channel, "/protowire.P2P/Nothing", bytes, bytes)([])

    assert caught.value.status is Status.UNIMPLEMENTED


async def test_kaspad_is_killed_during_a_stream(new_folder: Callable[[str], Path]) -> None:
    with starting(new_folder) as kaspad:
        async with endpoint(kaspad).connect(TcpConnector()) as channel, message_stream(channel) as stream:
            await stream.send_request()
            assert (await receive(stream))[0] == VERSION
            kaspad.process.send_signal(signal.SIGKILL)
            with pytest.raises(StreamTerminatedError, match="Connection lost"):
                await drain(stream)
            await channel.wait_for_state(ChannelState.IDLE)


async def drain(stream: Call[bytes, bytes]) -> None:
    while await stream.recv_message() is not None:
        pass
