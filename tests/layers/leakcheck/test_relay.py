from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.layers.leakcheck.namespaces import echo
from ziggurat.layers.leakcheck.relay import Relay


@pytest.fixture
def door() -> Iterator[socket.socket]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        yield listener


def connect(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), 10.0)


def test_both_directions_and_their_ends(door: socket.socket) -> None:
    with echo() as address:
        relay = Relay(door, lambda: connect(address), mirror=True)
        with socket.create_connection(door.getsockname(), 10.0) as client:
            client.sendall(b"hello")
            assert client.recv(5) == b"hello"
            client.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b"", "the end came back"
        relay.close()

    assert relay.connections == 1


def test_it_is_deaf_while_its_target_is(door: socket.socket) -> None:
    alive, tried = threading.Event(), threading.Semaphore(0)
    with echo() as address:

        def reach() -> socket.socket:
            tried.release()
            if not alive.is_set():
                raise ConnectionRefusedError
            return connect(address)

        relay = Relay(door, reach, mirror=True)
        place = door.getsockname()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(place, 10.0)
        alive.set()
        with _until_connected(place) as client:
            client.sendall(b"hello")
            assert client.recv(5) == b"hello"
        alive.clear()
        assert_reset(place)
        while tried.acquire(blocking=False):
            pass
        assert tried.acquire(timeout=10.0), "it asks again"
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(place, 10.0)
        relay.close()

    assert relay.connections == 1


def test_without_mirror_a_refusal_is_only_that_clients(door: socket.socket) -> None:
    def refuse() -> socket.socket:
        raise ConnectionRefusedError

    relay = Relay(door, refuse, mirror=False)
    for _ in range(2):
        assert_reset(door.getsockname())
    relay.close()


def assert_reset(place: tuple[str, int]) -> None:
    """It may be reset before the connect has returned."""
    with pytest.raises(ConnectionResetError), socket.create_connection(place, 10.0) as client:
        client.recv(1)


def _until_connected(place: tuple[str, int]) -> socket.socket:
    while True:
        try:
            return socket.create_connection(place, 10.0)
        except ConnectionRefusedError:
            continue
