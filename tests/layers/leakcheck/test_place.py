from __future__ import annotations

import ipaddress
import socket
from pathlib import Path

import pytest

from ziggurat.layers.leakcheck.place import ProxyPlace


def test_an_address() -> None:
    place = ProxyPlace.parse("[::1]:9050")

    assert (place.addresses, place.port, place.name) == ((ipaddress.ip_address("::1"),), 9050, None)
    assert place.shown(place.addresses[0]) == "[::1]:9050"


def test_a_name_is_resolved() -> None:
    place = ProxyPlace.parse("localhost:9050")

    assert ipaddress.ip_address("127.0.0.1") in place.addresses
    assert place.name == "localhost"


@pytest.mark.parametrize("text", ["127.0.0.1", "unix:socket", "unix:///run/x", "127.0.0.1:0", "a b:1", ""])
def test_what_is_no_place(text: str) -> None:
    with pytest.raises(ValueError, match="expected HOST:PORT"):
        ProxyPlace.parse(text)


def test_a_password_is_not_quoted() -> None:
    with pytest.raises(ValueError, match="no credentials") as caught:
        ProxyPlace.parse("socks5://user:hunter2@127.0.0.1:1080")

    assert "hunter2" not in str(caught.value)


def test_connections(tmp_path: Path) -> None:
    path = tmp_path / "proxy"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        with ProxyPlace.parse(f"unix:{path}").connect(None) as connected:
            assert connected.gettimeout() is None
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = ProxyPlace.parse(f"127.0.0.1:{server.getsockname()[1]}")
        with place.connect(place.addresses[0]) as connected:
            assert connected.getpeername() == server.getsockname()
    with pytest.raises(ConnectionRefusedError):
        place.connect(place.addresses[0])
