"""Two transports back to back."""

from __future__ import annotations

import asyncio
import socket

import pytest

from tests.layers.clients.servers import settle
from ziggurat.layers.clients.relay import relay_pair, relay_socket

pytestmark = [pytest.mark.asyncio_only, pytest.mark.real_io]


class Joined:
    """Two sockets with a relay between them: ``left`` <-> relay <-> ``right``."""

    def __init__(self, left: socket.socket, right: socket.socket) -> None:
        self.left, self.right = left, right
        self.loop = asyncio.get_running_loop()

    @classmethod
    async def make(cls, make=socket.socketpair) -> Joined:  # type: ignore[no-untyped-def]
        (left, far), (right, near) = make(), make()
        for each in (left, right):
            each.setblocking(False)
        end = await relay_socket(far)
        await asyncio.get_running_loop().create_connection(lambda: end, sock=near)
        return cls(left, right)

    async def send(self, sock: socket.socket, data: bytes) -> None:
        await self.loop.sock_sendall(sock, data)

    async def receive(self, sock: socket.socket, size: int) -> bytes:
        data = b""
        while len(data) < size and (part := await self.loop.sock_recv(sock, size)):
            data += part
        return data

    def close(self) -> None:
        self.left.close()
        self.right.close()


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        left = socket.create_connection(listener.getsockname())
        return left, listener.accept()[0]


async def test_bytes_pass_both_ways() -> None:
    joined = await Joined.make()
    await joined.send(joined.left, b"ping")
    assert await joined.receive(joined.right, 4) == b"ping"
    await joined.send(joined.right, b"pong")
    assert await joined.receive(joined.left, 4) == b"pong"
    joined.close()


@pytest.mark.parametrize("make", [socket.socketpair, tcp_pair])
async def test_a_half_close_passes_and_the_other_direction_stays_open(make) -> None:  # type: ignore[no-untyped-def]
    joined = await Joined.make(make)
    await joined.send(joined.left, b"all")
    joined.left.shutdown(socket.SHUT_WR)
    assert await joined.receive(joined.right, 99) == b"all"
    await joined.send(joined.right, b"answer")
    joined.right.shutdown(socket.SHUT_WR)
    assert await joined.receive(joined.left, 99) == b"answer"
    joined.close()


async def test_a_closed_socketpair_ends_both_sides_though_the_peer_never_does() -> None:
    """A close is no half-close: with nobody to read, a silent server's connection would stay for ever."""
    joined = await Joined.make()
    joined.left.close()
    assert await joined.receive(joined.right, 1) == b""
    await settle()
    with pytest.raises(BrokenPipeError):  # the relay has closed its end, not only shut down a direction
        await joined.send(joined.right, b"anybody?")
    joined.close()


async def test_a_reader_that_is_slow_slows_the_writer_down() -> None:
    joined = await Joined.make()
    sent = 0

    async def flood() -> None:
        nonlocal sent
        while True:
            await joined.send(joined.left, bytes(65536))
            sent += 65536

    task = asyncio.create_task(flood())
    last = -1
    while last != sent or not sent:  # until nothing more is taken
        last = sent
        for _ in range(50):
            await asyncio.sleep(0)
    assert sent < 4 << 20
    before = sent
    await joined.receive(joined.right, before)
    while sent == before:  # and it goes on
        await joined.receive(joined.right, 65536)
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    joined.close()


async def test_what_comes_before_the_other_side_is_there_is_kept() -> None:
    loop = asyncio.get_running_loop()
    left, far = socket.socketpair()
    left.send(b"early")
    left.shutdown(socket.SHUT_WR)
    end = await relay_socket(far)
    for _ in range(20):
        await asyncio.sleep(0)
    right, near = socket.socketpair()
    right.setblocking(False)
    await loop.create_connection(lambda: end, sock=near)
    assert await loop.sock_recv(right, 99) == b"early"
    assert await loop.sock_recv(right, 99) == b""
    left.close()
    right.close()


async def test_an_end_whose_partner_was_lost_closes_at_once() -> None:
    loop = asyncio.get_running_loop()
    left, right = relay_pair()
    ours, far = socket.socketpair()
    transport, _ = await loop.create_connection(lambda: left, sock=far)
    transport.abort()
    await asyncio.sleep(0.0)
    await asyncio.sleep(0.0)
    other, near = socket.socketpair()
    other.setblocking(False)
    await loop.create_connection(lambda: right, sock=near)
    assert await loop.sock_recv(other, 1) == b""
    ours.close()
    other.close()


async def test_a_reset_passes_as_an_end_of_both() -> None:
    joined = await Joined.make(tcp_pair)
    joined.left.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    joined.left.close()
    assert await joined.receive(joined.right, 1) == b""
    joined.close()


async def test_a_socket_that_is_not_connected_is_closed() -> None:
    lonely = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    with pytest.raises(ValueError, match="Stream Socket"):
        await relay_socket(lonely)
    assert lonely.fileno() == -1
