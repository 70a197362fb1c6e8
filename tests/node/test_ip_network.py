"""Ranges of IP addresses: their canonical form, and what is none."""

from __future__ import annotations

from contextlib import suppress
from ipaddress import IPv4Network, IPv6Network, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.node.ip_network import IpNetwork, network_text, parse_network


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.7/32", "192.0.2.7"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("2001:0db8:0::1", "2001:db8::1"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_a_network_is_parsed_into_its_canonical_form(text: str, network: str) -> None:
    assert network_text(parse_network(text)) == network


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "neither an IP address nor a network"),
        ("192.0.2", "neither an IP address nor a network"),
        ("192.0.2.07", "neither an IP address nor a network"),
        ("node.example", "neither an IP address nor a network"),
        ("192.0.2.7:16111", "more than an IP address: write 192.0.2.7"),
        ("[2001:db8::1]:16111", "more than an IP address: write 2001:db8::1"),
        ("10.0.0.5/8", "write 10.0.0.5 or 10.0.0.0/8"),
        ("2001:db8::1/32", "write 2001:db8::1 or 2001:db8::/32"),
        ("192.0.2.0/33", "a number from 0 to 32"),
        ("192.0.2.0/", "a number from 0 to 32"),
        ("192.0.2.0/255.255.255.0", "a number from 0 to 32"),
        ("2001:db8::/129", "a number from 0 to 128"),
    ],
)
def test_a_text_that_is_no_network_is_refused_with_what_to_write(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_network(text)


@given(
    st.builds(ip_network, st.tuples(st.integers(0, (1 << 32) - 1), st.integers(0, 32)), st.just(False))
    | st.builds(ip_network, st.tuples(st.integers(1 << 32, (1 << 128) - 1), st.integers(0, 128)), st.just(False))
)
def test_the_text_of_a_network_can_be_parsed_back(network: IpNetwork) -> None:
    mapped = isinstance(network, IPv6Network) and network.subnet_of(IPv6Network("::ffff:0:0/96"))

    assert parse_network(network_text(network)) == network or mapped
    assert isinstance(parse_network(network_text(network)), IPv4Network | IPv6Network)


@given(st.text(max_size=50))
def test_any_other_text_is_refused_with_a_value_error(text: str) -> None:
    with suppress(ValueError):
        assert parse_network(text)
