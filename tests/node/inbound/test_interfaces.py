from __future__ import annotations

import sys
from collections.abc import Callable
from ipaddress import ip_address

import ifaddr
import pytest
from structlog.testing import capture_logs

from ziggurat.node.address import IpAddress, NetAddress
from ziggurat.node.inbound.interfaces import OwnAddress, interface_addresses

MACHINE = ["127.0.0.1", "::1", "10.0.0.5", "fe80::1", "fd00::5", "203.0.113.9", "8.8.4.4", "9.9.9.9", "2600::1234"]


def interfaces(*texts: str) -> Callable[[], list[IpAddress]]:
    return lambda: [ip_address(text) for text in texts]


def at(*texts: str) -> list[NetAddress]:
    return [NetAddress.parse(text) for text in texts]


@pytest.mark.parametrize(
    ("listen", "found"),
    [
        ("0.0.0.0:16111", "8.8.4.4:16111"),
        ("0.0.0.0:7", "8.8.4.4:7"),
        ("[::]:16111", "8.8.4.4:16111"),
        ("0.0.0.0:0", None),
        ("10.0.0.5:16111", None),
        ("127.0.0.1:16111", None),
    ],
)
def test_the_own_address_is_the_first_routable_one_of_the_listeners_ip_version(listen: str, found: str | None) -> None:
    own = OwnAddress(interfaces(*MACHINE)).find(at(listen))
    assert own == (None if found is None else NetAddress.parse(found))


def test_a_machine_with_private_addresses_only_has_no_own_address() -> None:
    assert OwnAddress(interfaces("192.168.1.7")).find(at("0.0.0.0:16111")) is None


def test_a_listener_of_both_families_has_an_own_address_on_a_machine_with_one() -> None:
    assert OwnAddress(interfaces("2600::1")).find(at("[::]:7")) == NetAddress.parse("[2600::1]:7")


def test_the_own_address_is_that_of_the_first_wildcard_listener_that_has_one() -> None:
    listening = at("10.0.0.5:1", "0.0.0.0:2", "[::]:3")
    assert OwnAddress(interfaces("2600::1", "8.8.4.4")).find(listening) == NetAddress.parse("8.8.4.4:2")
    assert OwnAddress(interfaces("2600::1")).find(listening) == NetAddress.parse("[2600::1]:3")


def test_an_own_address_is_kept_while_the_machine_has_it() -> None:
    machine = ["2600::1"]
    own = OwnAddress(lambda: map(ip_address, machine))
    assert own.find(at("[::]:7")) == NetAddress.parse("[2600::1]:7")

    machine[:0] = ["8.8.4.4", "2600::2"]
    assert own.find(at("[::]:7")) == NetAddress.parse("[2600::1]:7")

    machine.remove("2600::1")
    assert own.find(at("[::]:7")) == NetAddress.parse("8.8.4.4:7")


def test_interfaces_that_cannot_be_read_are_logged_once_and_the_address_is_kept() -> None:
    answers: list[list[IpAddress] | None] = [[ip_address("8.8.4.4")], None, None, [], None]

    def read() -> list[IpAddress]:
        answer = answers.pop(0)
        if answer is None:
            raise PermissionError(13, "no netlink")
        return answer

    own = OwnAddress(read)
    with capture_logs() as logs:
        found = [own.find(at("0.0.0.0:7")) for _ in range(5)]

    address = NetAddress.parse("8.8.4.4:7")
    assert found == [address, address, address, None, None]
    line = {"event": "interfaces.unreadable", "log_level": "warning", "error": "[Errno 13] no netlink"}
    assert logs == [line, line]  # once before they were read again, and once after


@pytest.mark.skipif(sys.platform != "linux", reason="checked against Linux's loopback interface")
def test_the_machines_addresses_include_loopback_and_no_duplicates() -> None:
    found = interface_addresses()
    assert ip_address("127.0.0.1") in found
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("error", [PermissionError("no netlink"), AssertionError("an interface without a netmask")])
def test_a_system_that_hides_its_interfaces_is_an_os_error(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refuse() -> None:
        raise error

    monkeypatch.setattr(ifaddr, "get_adapters", refuse)
    with pytest.raises(OSError, match=str(error)):
        interface_addresses()
