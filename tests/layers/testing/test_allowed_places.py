"""Which addresses and names each form of a place allows, and what is no place."""

from __future__ import annotations

import socket

import pytest

from ziggurat.layers.testing.allowed_places import AllowedPlaces
from ziggurat.services import Uri


@pytest.mark.parametrize(
    ("allow", "address", "family"),
    [
        ("127.0.0.1:9", ("127.0.0.1", 9), socket.AF_INET),
        ("127.0.0.1", ("127.0.0.1", 9), socket.AF_INET),
        ("127.0.0.0/8", ("127.1.2.3", 9), socket.AF_INET),
        ("127.0.0.1:9", ("::ffff:127.0.0.1", 9), socket.AF_INET6),
        ("[::1]:9", ("::1", 9, 0, 0), socket.AF_INET6),
        ("::1", ("::1", 9), socket.AF_INET6),
        ("localhost:9", ("127.0.0.1", 9), socket.AF_INET),
        ("localhost:9", ("localhost", 9), socket.AF_INET),
        (Uri("socks5", "127.0.0.1", 9), ("127.0.0.1", 9), socket.AF_INET),
        ("unix:/run/proxy.sock", "/run/proxy.sock", socket.AF_UNIX),
        ("unix:/run/proxy.sock", b"/run/proxy.sock", socket.AF_UNIX),
        (Uri("unix", path="/run/proxy.sock"), "/run/proxy.sock", socket.AF_UNIX),
        (Uri("unix-abstract", path="proxy"), "\0proxy", socket.AF_UNIX),
        (Uri("unix-abstract", path="proxy"), b"\0proxy", socket.AF_UNIX),
        ("unix:*", "/run/any.sock", socket.AF_UNIX),
    ],
    ids=str,
)
def test_an_address_is_allowed(allow: str | Uri, address: object, family: int) -> None:
    assert AllowedPlaces().with_places([allow]).address(family, address)
    assert not AllowedPlaces().address(family, address)


@pytest.mark.parametrize(
    ("allow", "address", "family"),
    [
        ("127.0.0.1:9", ("127.0.0.1", 10), socket.AF_INET),
        ("127.0.0.1:9", ("127.0.0.2", 9), socket.AF_INET),
        ("127.0.0.1:9", ("::1", 9), socket.AF_INET6),
        ("localhost:9", ("other.invalid", 9), socket.AF_INET),
        ("unix:/run/proxy.sock", "/run/other.sock", socket.AF_UNIX),
    ],
)
def test_another_is_not(allow: str, address: object, family: int) -> None:
    assert not AllowedPlaces().with_places([allow]).address(family, address)


def test_netlink_ends_in_the_kernel_and_other_families_do_not() -> None:
    assert AllowedPlaces().address(socket.AF_NETLINK, (0, 0))
    assert not AllowedPlaces().address(socket.AF_VSOCK, (2, 9))


@pytest.mark.parametrize(
    ("name", "reverse", "allowed"),
    [
        ("localhost", False, True),
        ("LOCALHOST.", False, True),
        ("192.0.2.77", False, True),
        ("fe80::1%eth0", False, True),
        ("", False, True),
        ("target.invalid", False, False),
        ("127.0.0.1", True, True),
        ("192.0.2.77", True, False),
    ],
)
def test_a_name_is_allowed(name: str, reverse: bool, allowed: bool) -> None:
    assert AllowedPlaces().with_places(["127.0.0.0/8"]).name(name, reverse=reverse) is allowed


def test_a_name_that_cannot_be_resolved_is_an_oserror() -> None:
    with pytest.raises(OSError, match=r"."):
        AllowedPlaces().with_places(["target.invalid"])


@pytest.mark.parametrize(
    ("allow", "error", "message"),
    [
        ("127.0.0.1:9", TypeError, r"write \['127.0.0.1:9'\]"),
        ([9], TypeError, "a place is HOST"),
        (["127.0.0.1:x"], ValueError, "bad port: 'x'"),
        (["127.0.0.1/99"], ValueError, "'127.0.0.1/99'"),
        (["127.0.0.1/8"], ValueError, "host bits"),
        (["unix:"], ValueError, "unix:/path"),
        ([""], ValueError, "bad place: ''"),
    ],
)
def test_a_bad_place_is_named(allow: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        AllowedPlaces().with_places(allow)  # type: ignore[arg-type]
