from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.node.address_manager.bucket import bucket_of


@pytest.mark.parametrize(
    ("one", "other", "neighbours"),
    [
        ("10.1.2.3", "10.1.255.0", True),
        ("10.1.2.3", "10.2.2.3", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("10.1.2.3", "::ffff:10.1.9.9", True),
        ("10.1.2.3", "::10.1.9.9", True),
        ("::10.1.2.3", "::10.2.2.3", False),
    ],
)
def test_neighbours_share_a_bucket(one: str, other: str, neighbours: bool) -> None:
    assert (bucket_of(ip_address(one)) == bucket_of(ip_address(other))) is neighbours


@given(st.integers(0, 2**32 - 1), st.integers(2**32 + 2**48, 2**128 - 1))
def test_an_ipv4_bucket_is_never_an_ipv6_one(v4: int, v6: int) -> None:
    assert bucket_of(IPv4Address(v4)) != bucket_of(IPv6Address(v6))
