from __future__ import annotations

import pytest

from ziggurat.node.address import AddressNetwork
from ziggurat.node.config.network_proxy import (
    NetworkProxy,
    masked_entry,
    parse_address_network,
    parse_network_proxy,
    parse_onion_proxy,
)


@pytest.mark.parametrize(
    ("text", "network"), [("ipv4", "ipv4"), ("IPv6", "ipv6"), ("onion", "onion"), ("tor", "onion"), ("TOR", "onion")]
)
def test_a_network_is_named_in_any_case(text: str, network: str) -> None:
    assert parse_address_network(text) is AddressNetwork(network)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ipv4=127.0.0.1", "ipv4 socks5://127.0.0.1:9050"),
        ("ipv6=http://proxy.corp:3128", "ipv6 http://proxy.corp:3128"),
        ("tor=unix:/run/tor/socks", "onion unix:/run/tor/socks"),
        ("onion=socks5://u:p@tor", "onion socks5://***:***@tor:9050"),
        ("ipv6=direct", "ipv6 direct"),
        ("onion=0", "onion 0"),
    ],
)
def test_what_serves_a_network(text: str, shown: str) -> None:
    entry = parse_network_proxy(text)

    assert f"{entry.network} {entry.entry}" == shown
    assert entry.setting == "proxy-net"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("127.0.0.1:9050", "no '='"),
        ("=127.0.0.1:9050", "no network"),
        ("ipv5=127.0.0.1", "unknown network 'ipv5'"),
        ("ipv4=", "empty"),
        ("ipv4=none", "write direct"),
        ("ipv4=env", "env is for"),
        ("onion=direct", "through Tor only"),
        ("onion=none", "through Tor only"),
        ("onion=socks4://127.0.0.1", "SOCKS4 takes no names"),
    ],
)
def test_anything_else_is_an_error(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_network_proxy(text)


def test_onion_is_the_entry_of_onion() -> None:
    assert parse_onion_proxy("0") == NetworkProxy(AddressNetwork.ONION, "0", "onion")
    with pytest.raises(ValueError, match="through Tor only"):
        parse_onion_proxy("none")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ipv4=socks5://u:S3CRET@tor:1", "ipv4=socks5://***@tor:1"),
        ("ipv4=127.0.0.1:9050", "ipv4=127.0.0.1:9050"),
        ("socks5://u:S3CRET@tor:1", "socks5://***@tor:1"),
        ("u:S3=CRET@tor", "***@tor"),
        ("tor:1:u:S3CRET", "***"),
    ],
)
def test_credentials_are_not_shown(text: str, shown: str) -> None:
    assert masked_entry(text) == shown
