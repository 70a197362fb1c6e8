from __future__ import annotations

from functools import partial
from ipaddress import IPv6Address

import pytest

from ziggurat.layers.keys import by_authority, by_host, by_network, name_of
from ziggurat.services import Uri

MAPPED = str(IPv6Address("::ffff:10.1.9.9"))
"""As this interpreter writes it: CPython 3.13 writes the last 32 bits as an IPv4 address."""


@pytest.mark.parametrize(
    ("target", "host", "authority", "network"),
    [
        ("http://a.test:80", "a.test", "a.test:80", "a.test"),
        ("http://10.1.2.3:81", "10.1.2.3", "10.1.2.3:81", "10.1.0.0/16"),
        ("http://[2001:db8:1::1]:80", "2001:db8:1::1", "[2001:db8:1::1]:80", "2001:db8::/32"),
        ("http://[fe80::1%25eth0]:80", "fe80::1%eth0", "[fe80::1%eth0]:80", "fe80::/32"),
        ("http://[::ffff:10.1.9.9]:80", MAPPED, f"[{MAPPED}]:80", "10.1.0.0/16"),
        ("unix:/run/a.sock", "/run/a.sock", "unix:/run/a.sock", "/run/a.sock"),
    ],
)
def test_each_key(target: str, host: str, authority: str, network: str) -> None:
    uri = Uri.parse(target)
    assert by_network(uri) == network
    assert by_authority(uri) == authority
    assert by_host(uri) == host


def test_a_network_may_have_another_size() -> None:
    assert partial(by_network, v4=24)(Uri.parse("http://10.1.2.3:80")) == "10.1.2.0/24"
    assert partial(by_network, v6=48)(Uri.parse("http://[2001:db8:1::1]:80")) == "2001:db8:1::/48"


def test_the_name_of_a_key() -> None:
    assert name_of(by_host) == "by_host"
    assert "by_network" in name_of(partial(by_network, v4=24))
