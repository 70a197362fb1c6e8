from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from ziggurat.services.host import contains, is_loopback, is_private, is_subdomain, literal, parse_network
from ziggurat.services.uri import Uri


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("fe80::1%.example.com", "fe80::1"),
        ("api.example", None),
        ("", None),
    ],
)
def test_an_address_is_read_from_its_text_and_a_name_is_none(host: str, address: str | None) -> None:
    assert literal(host) == (None if address is None else ip_address(address))


@pytest.mark.parametrize(
    ("target", "loopback"),
    [
        ("http://localhost", True),
        ("http://LOCALHOST.", True),
        ("http://db.localhost", True),  # RFC 6761 section 6.3
        ("http://localhost.net", False),
        ("http://notlocalhost", False),
        ("http://127.0.0.1", True),
        ("http://127.255.255.254", True),
        ("http://128.0.0.1", False),
        ("http://[::1]", True),
        ("http://[::2]", False),
        ("http://[::ffff:127.0.0.1]", True),
        ("http://0.0.0.0", True),
        ("http://[::]", True),
        ("http://10.0.0.1", False),
        ("unix:/run/db.sock", True),
    ],
)
def test_what_stays_on_this_machine(target: str, loopback: bool) -> None:
    assert is_loopback(Uri.parse(target)) is loopback


@pytest.mark.parametrize(
    ("text", "private"),
    [
        ("10.1.2.3", True),
        ("172.15.255.255", False),
        ("172.16.0.1", True),
        ("172.32.0.1", False),
        ("192.168.1.1", True),
        ("100.64.0.1", True),
        ("169.254.169.254", True),
        ("fd00::1", True),
        ("fe80::1", True),
        ("2001:db8::1", False),
        ("192.0.2.1", False),
        ("127.0.0.1", False),
        ("::1", False),
    ],
)
def test_private_addresses_are_not_reached_over_the_internet(text: str, private: bool) -> None:
    assert is_private(ip_address(text)) is private


def test_a_domain_ends_at_a_dot() -> None:
    assert is_subdomain("example.com", "example.com")
    assert is_subdomain("a.b.example.com.", "example.com")
    assert is_subdomain("a.example.com", "example.com.")
    assert not is_subdomain("badexample.com", "example.com")
    assert not is_subdomain("com", "example.com")


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.1.2.3/8", "10.0.0.0/8"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("192.0.2.1", "192.0.2.1/32"),
        ("::1", "::1/128"),
        ("[::1]", "::1/128"),
        ("[fd00::]/8", "fd00::/8"),
        ("[fd00::/8]", "fd00::/8"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("10.0.0.0/33", None),
        ("10.0.0.0/255.0.0.0", None),
        ("10.0.0.0/", None),
        ("10.0.0/8", None),
        ("192.168.*", None),
        ("[example]", None),
        ("", None),
    ],
)
def test_networks(text: str, network: str | None) -> None:
    assert parse_network(text) == (None if network is None else ip_network(network))


def test_networks_of_one_family_do_not_contain_the_other() -> None:
    assert not contains(ip_network("::/0"), ip_address("192.0.2.1"))
    assert not contains(ip_network("0.0.0.0/0"), ip_address("2001:db8::1"))
