"""The attributes of a socket, as anyio gives them."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, cast

import pytest
from anyio.abc import SocketAttribute

from ziggurat.services.socket_attributes import socket_attributes


class Transport:
    """What an asyncio transport knows of its socket."""

    def __init__(self, **extra: Any) -> None:
        self.extra = extra

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.extra.get(name, default)


def attributes(**extra: Any) -> dict[Any, Any]:
    return {key: get() for key, get in socket_attributes(cast(asyncio.Transport, Transport(**extra))).items()}


def test_a_transport_without_a_socket_has_none() -> None:
    assert attributes() == {}


@pytest.mark.parametrize(
    ("address", "plain"),
    [
        (("::1", 5, 0, 0), ("::1", 5)),
        (("fe80::1", 5, 0, 3), ("fe80::1%3", 5)),
        (("fe80::1%eth0", 5, 0, 3), ("fe80::1%3", 5)),
    ],
)
def test_an_ipv6_address_is_host_and_port(address: tuple[Any, ...], plain: tuple[str, int]) -> None:
    with socket.socket(socket.AF_INET6) as raw:
        found = attributes(socket=raw, sockname=address, peername=("::2", 6, 0, 0))

    assert found[SocketAttribute.local_address] == plain
    assert found[SocketAttribute.remote_address] == ("::2", 6)
    assert (found[SocketAttribute.local_port], found[SocketAttribute.remote_port]) == (5, 6)
    assert found[SocketAttribute.raw_socket] is raw


def test_a_unix_socket_has_paths_and_no_ports() -> None:
    with socket.socket(socket.AF_UNIX) as raw:
        found = attributes(socket=raw, sockname="", peername="/run/x")

    assert found[SocketAttribute.remote_address] == "/run/x"
    assert found[SocketAttribute.family] == socket.AF_UNIX
    assert SocketAttribute.local_port not in found


def test_a_connection_that_was_already_lost_has_no_remote_address() -> None:
    with socket.socket() as raw:
        get = socket_attributes(cast(asyncio.Transport, Transport(socket=raw, sockname=("127.0.0.1", 1))))

        assert get[SocketAttribute.remote_address]() is None
