"""Listening sockets on real interfaces."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import pytest

from ziggurat.node.address import NetAddress
from ziggurat.node.inbound.sockets import needs_v6only, open_listening_socket

pytestmark = pytest.mark.real_io

NO_IPV6 = pytest.mark.skipif(not socket.has_ipv6, reason="needs IPv6")


TRIES = 5
"""The system chooses the port, and another test's listener may have it in the other family."""


def takes(address: NetAddress, expected: Sequence[bool], *, v6only: bool = False) -> bool:
    """Whether a listener on ``address`` accepts connections over IPv4 and over IPv6 as expected."""
    return any(accepted(address, ("127.0.0.1", "::1"), v6only) == expected for _ in range(TRIES))


def accepted(address: NetAddress, hosts: Sequence[str], v6only: bool) -> list[bool]:
    taken: list[bool] = []
    with open_listening_socket(address, v6only=v6only) as opened:
        opened.listen()
        for host in hosts:
            try:
                socket.create_connection((host, opened.getsockname()[1])).close()
            except ConnectionRefusedError:
                taken.append(False)
            else:
                taken.append(True)
    return taken


@NO_IPV6
def test_the_ipv6_wildcard_takes_both_families() -> None:
    assert takes(NetAddress.parse("[::]:0"), [True, True])


@NO_IPV6
def test_it_leaves_ipv4_to_another_listener() -> None:
    assert takes(NetAddress.parse("[::]:0"), [False, True], v6only=True)


@NO_IPV6
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_an_address_takes_its_own_family_only(host: str) -> None:
    assert takes(NetAddress.parse(host, 0), [host == "127.0.0.1", host == "::1"])


@pytest.mark.parametrize(
    ("others", "needed"),
    [([], False), (["0.0.0.0:7"], True), (["127.0.0.1:7"], True), (["0.0.0.0:8"], False), (["[::1]:7"], False)],
)
def test_another_listener_with_the_same_port_may_have_ipv4(others: list[str], needed: bool) -> None:
    assert needs_v6only(NetAddress.parse("[::]:7"), [NetAddress.parse(text) for text in others]) is needed
    assert not needs_v6only(NetAddress.parse("[::]:0"), [NetAddress.parse("0.0.0.0:0")])


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "192.0.2.1:7",
            r"cannot listen on 192\.0\.2\.1:7: .* \(no interface of this machine has the address\)",
        ),
        ("[fe80::1%nowhere0]:7", r"cannot listen on \[fe80::1%nowhere0\]:7: "),
    ],
)
def test_an_address_that_cannot_be_listened_on_is_named_with_what_to_do(text: str, line: str) -> None:
    with pytest.raises(OSError, match=line):
        open_listening_socket(NetAddress.parse(text))


def test_a_port_in_use_is_named() -> None:
    with open_listening_socket(NetAddress.parse("127.0.0.1:0")) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=rf"127\.0\.0\.1:{port}: .* \(another program uses the port\)"):
            open_listening_socket(NetAddress.parse(f"127.0.0.1:{port}"))
