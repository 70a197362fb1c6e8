from __future__ import annotations

import sys
from ipaddress import ip_address

import ifaddr
import pytest

from ziggurat.node.address import NetAddress
from ziggurat.node.inbound.interfaces import interface_addresses, own_address

MACHINE = ["127.0.0.1", "::1", "10.0.0.5", "fe80::1", "fd00::5", "203.0.113.9", "8.8.4.4", "9.9.9.9", "2600::1234"]


@pytest.mark.parametrize(
    ("listen", "found"),
    [
        ("0.0.0.0:16111", "8.8.4.4:16111"),
        ("0.0.0.0:7", "8.8.4.4:7"),
        ("[::]:16111", "[2600::1234]:16111"),
        ("0.0.0.0:0", None),
        ("10.0.0.5:16111", None),
        ("127.0.0.1:16111", None),
    ],
)
def test_the_own_address_is_the_first_routable_one_of_the_listeners_ip_version(listen: str, found: str | None) -> None:
    own = own_address(NetAddress.parse(listen), lambda: map(ip_address, MACHINE))
    assert own == (None if found is None else NetAddress.parse(found))


def test_a_machine_with_private_addresses_only_has_no_own_address() -> None:
    assert own_address(NetAddress.parse("0.0.0.0:16111"), lambda: [ip_address("192.168.1.7")]) is None


@pytest.mark.skipif(sys.platform != "linux", reason="checked against Linux's loopback interface")
def test_the_machines_addresses_include_loopback_and_no_duplicates() -> None:
    found = interface_addresses()
    assert ip_address("127.0.0.1") in found
    assert len(set(found)) == len(found)


def test_a_system_that_hides_its_interfaces_has_no_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise PermissionError

    monkeypatch.setattr(ifaddr, "get_adapters", refuse)
    assert interface_addresses() == []
