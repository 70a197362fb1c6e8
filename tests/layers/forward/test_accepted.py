"""A socket that was accepted, as a stream of ours."""

from __future__ import annotations

import socket
import struct

import pytest
import sniffio

from ziggurat.layers.forward.accepted import accepted_stream, client_name
from ziggurat.layers.testing import stream_pair
from ziggurat.services import TransportStream
from ziggurat.services.stream import WrappedStream

pytestmark = pytest.mark.real_io


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
        far.setblocking(False)
        return near, far


async def test_tcp() -> None:
    near, far = tcp_pair()
    with near:
        stream = await accepted_stream(far)
        assert type(stream) is (TransportStream if sniffio.current_async_library() == "asyncio" else WrappedStream)
        host, port = near.getsockname()
        assert client_name(stream) == f"{host}:{port}"
        assert far.fileno() == -1 or far.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        near.sendall(b"x")
        assert await stream.receive() == b"x"
        await stream.aclose()


async def test_unix() -> None:
    near, far = socket.socketpair()
    far.setblocking(False)
    with near:
        stream = await accepted_stream(far)
        assert client_name(stream) == "unix"
        await stream.send(b"x")
        assert near.recv(9) == b"x"
        await stream.aclose()


async def test_a_client_that_has_left_breaks_nothing() -> None:
    near, far = tcp_pair()
    near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    near.close()
    try:
        stream = await accepted_stream(far)
    except OSError:
        assert far.fileno() == -1  # trio
    else:
        assert client_name(stream) == "unknown"
        await stream.aclose()


async def test_a_stream_without_a_socket_has_no_name() -> None:
    near, _ = stream_pair()
    assert client_name(near) == "unknown"
    near.attributes.clear()
