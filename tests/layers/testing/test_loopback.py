"""Sockets that are closed with EOF or with a reset."""

from __future__ import annotations

import os
import socket

import anyio
import pytest
from anyio import BrokenResourceError, ClosedResourceError, EndOfStream
from anyio.abc import ByteStream, SocketAttribute

from ziggurat.layers.testing.loopback import SocketByteStream, serve_loopback

pytestmark = pytest.mark.real_io


def pair() -> tuple[SocketByteStream, SocketByteStream]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    return SocketByteStream(near), SocketByteStream(far)


async def test_bytes_pass_both_ways_and_more_than_the_kernel_holds() -> None:
    near, far = pair()
    data = os.urandom(4_000_000)
    async with near, far, anyio.create_task_group() as tasks:
        tasks.start_soon(near.send, data)
        received = b""
        while len(received) < len(data):
            received += await far.receive()
    assert received == data


async def test_half_close_and_close_are_eof_and_a_closed_stream_says_so() -> None:
    near, far = pair()
    await near.send_eof()
    with pytest.raises(EndOfStream):
        await far.receive()
    await far.send(b"back")
    assert await near.receive() == b"back"
    await far.aclose()
    with pytest.raises(EndOfStream):
        await near.receive()
    await near.aclose()
    await near.aclose()
    for call in (near.receive, near.send_eof, lambda: near.send(b"x")):
        with pytest.raises(ClosedResourceError):
            await call()  # type: ignore[operator]


async def test_a_reset_reaches_the_peer_as_a_reset() -> None:
    near, far = pair()
    far.reset()
    far.reset()
    with pytest.raises(BrokenResourceError) as caught:
        await near.receive()
    assert isinstance(caught.value.__cause__, ConnectionResetError)
    with pytest.raises(BrokenResourceError):
        await near.send(b"x")
    await near.send_eof()
    await near.aclose()


async def test_it_has_socket_attributes() -> None:
    near, far = pair()
    async with near, far:
        assert near.extra(SocketAttribute.family) == socket.AF_INET
        assert near.extra(SocketAttribute.remote_address) == far.extra(SocketAttribute.local_address)
        assert near.extra(SocketAttribute.raw_socket).fileno() > 0


async def test_a_server_closes_connections_after_their_handler_and_cancels_the_rest() -> None:
    async def handler(stream: ByteStream) -> None:
        if await stream.receive() == b"stay":
            await anyio.sleep_forever()

    async with serve_loopback(handler) as port:
        async with await anyio.connect_tcp("127.0.0.1", port) as first:
            await first.send(b"go")
            with pytest.raises(EndOfStream):
                await first.receive()
        second = await anyio.connect_tcp("127.0.0.1", port)
        await second.send(b"stay")
    with pytest.raises((EndOfStream, BrokenResourceError)):
        await second.receive()
    await second.aclose()
