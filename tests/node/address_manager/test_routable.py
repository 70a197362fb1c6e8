from __future__ import annotations

from ipaddress import ip_address

import pytest

from ziggurat.node.address import NetAddress, OnionNetAddress
from ziggurat.node.address_manager.routable import is_publicly_routable, is_worth_dialling
from ziggurat.services.onion import OnionAddress


@pytest.mark.parametrize(
    ("first", "last", "before", "after"),
    [
        ("0.0.0.0", "0.255.255.255", None, "1.0.0.0"),
        ("10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0"),
        ("100.64.0.0", "100.127.255.255", "100.63.255.255", "100.128.0.0"),
        ("127.0.0.0", "127.255.255.255", "126.255.255.255", "128.0.0.0"),
        ("169.254.0.0", "169.254.255.255", "169.253.255.255", "169.255.0.0"),
        ("172.16.0.0", "172.31.255.255", "172.15.255.255", "172.32.0.0"),
        ("192.0.2.0", "192.0.2.255", "192.0.1.255", "192.0.3.0"),
        ("192.168.0.0", "192.168.255.255", "192.167.255.255", "192.169.0.0"),
        ("198.18.0.0", "198.19.255.255", "198.17.255.255", "198.20.0.0"),
        ("198.51.100.0", "198.51.100.255", "198.51.99.255", "198.51.101.0"),
        ("203.0.113.0", "203.0.113.255", "203.0.112.255", "203.0.114.0"),
        ("255.255.255.255", "255.255.255.255", "255.255.255.254", None),
        ("::", "::1", None, "::2"),
        ("::ffff:0:0:0", "::ffff:0:ffff:ffff", None, "::ffff:1:0:0"),
        ("64:ff9b::", "64:ff9b::ffff:ffff", "64:ff9a:ffff:ffff:ffff:ffff:ffff:ffff", "64:ff9b::1:0:0"),
        ("2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff", "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:1::"),
        ("2001:10::", "2001:1f:ffff:ffff:ffff:ffff:ffff:ffff", "2001:f:ffff:ffff::", "2001:20::"),
        ("2001:470::", "2001:470:ffff:ffff:ffff:ffff:ffff:ffff", "2001:46f::", "2001:471::"),
        ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db7::", "2001:db9::"),
        ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None, "2003::"),
        ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fbff::", "fe00::"),
        ("fe80::", "fe80::ffff:ffff:ffff:ffff", "fe7f::", "fe80:0:0:1::"),
    ],
)
def test_a_network_is_excluded_from_its_first_to_its_last_address(
    first: str, last: str, before: str | None, after: str | None
) -> None:
    assert not is_publicly_routable(ip_address(first))
    assert not is_publicly_routable(ip_address(last))
    assert all(is_publicly_routable(ip_address(outside)) for outside in (before, after) if outside is not None)


@pytest.mark.parametrize(("mapped", "routable"), [("::ffff:8.8.8.8", True), ("::ffff:192.168.1.1", False)])
def test_a_v4_mapped_address_counts_as_ipv4(mapped: str, routable: bool) -> None:
    assert is_publicly_routable(ip_address(mapped)) is routable


def test_a_zone_id_does_not_make_an_address_routable() -> None:
    assert not is_publicly_routable(ip_address("fe80::1%eth0"))


@pytest.mark.parametrize(
    ("text", "worth"),
    [
        ("8.8.8.8:16111", True),
        ("[2606:4700::1]:16111", True),
        ("8.8.8.8:1024", True),
        ("10.0.0.1:16111", False),
        ("192.168.1.1:16111", False),
        ("169.254.169.254:16111", False),  # a cloud's metadata
        ("100.64.0.1:16111", False),
        ("224.0.0.1:16111", False),
        ("255.255.255.255:16111", False),
        ("[fd00::1]:16111", False),
        ("[fe80::1]:16111", False),
        ("[ff02::1]:16111", False),
        ("8.8.8.8:22", False),
        ("8.8.8.8:443", False),
        ("8.8.8.8:5432", False),
        ("8.8.8.8:6379", False),
        ("8.8.8.8:0", True),  # not a service; it is never dialled for another reason
    ],
)
def test_gossip_of_private_addresses_and_service_ports_is_not_worth_a_dial(text: str, worth: bool) -> None:
    """lighthouse#3006, parity-ethereum#2478: hosting companies block servers for such dials."""
    assert is_worth_dialling(NetAddress.parse(text)) is worth


@pytest.mark.parametrize(("port", "worth"), [(16111, True), (22, False), (443, False), (0, True)])
def test_an_onion_service_is_worth_a_dial_but_for_a_service_port(port: int, worth: bool) -> None:
    assert is_worth_dialling(OnionNetAddress(OnionAddress(bytes(32)), port)) is worth
