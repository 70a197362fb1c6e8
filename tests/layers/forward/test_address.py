"""What is listened on, as a user writes it."""

from __future__ import annotations

import pytest

from ziggurat.layers.forward.address import ListenAddress, is_loopback


@pytest.mark.parametrize(
    ("text", "address", "shown"),
    [
        ("1080", ListenAddress("127.0.0.1", 1080), "127.0.0.1:1080"),
        (":0", ListenAddress("127.0.0.1", 0), "127.0.0.1:0"),
        ("localhost:80", ListenAddress("127.0.0.1", 80), "127.0.0.1:80"),
        ("0.0.0.0:65535", ListenAddress("0.0.0.0", 65535), "0.0.0.0:65535"),
        ("[::1]:80", ListenAddress("::1", 80), "[::1]:80"),
        ("unix:/run/x.sock", ListenAddress("", 0, "/run/x.sock"), "unix:/run/x.sock"),
        ("unix:///run/x.sock", ListenAddress("", 0, "/run/x.sock"), "unix:/run/x.sock"),
    ],
)
def test_parsing(text: str, address: ListenAddress, shown: str) -> None:
    assert ListenAddress.parse(text) == address
    assert str(address) == shown


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no port in ''; expected PORT, IP:PORT"),
        ("127.0.0.1", r"no port in '127\.0\.0\.1'; expected"),
        ("65536", "bad port: 65536"),
        ("123456", "bad port: '123456'"),
        ("::1:80", "needs brackets"),
        ("db.corp:80", "bad address 'db.corp': expected PORT"),
        ("a:b", "bad port: 'b'"),
        ("unix:", "bad unix socket path"),
    ],
)
def test_what_is_wrong_is_named(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ListenAddress.parse(text)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:10.0.0.1", False),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
    ],
)
def test_what_other_machines_can_reach(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
    assert ListenAddress(host, 1).is_loopback is loopback


def test_a_unix_socket_is_for_this_machine() -> None:
    assert ListenAddress("", 0, "/run/x").is_loopback
