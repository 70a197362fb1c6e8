from __future__ import annotations

from dataclasses import replace

import pytest

from ziggurat.node.address import AddressNetwork, parse_peer_address
from ziggurat.node.config.network_proxy import parse_network_proxy
from ziggurat.node.config.proxy import Proxy, parse_proxy_url, parse_socks5_proxy
from ziggurat.node.config.ways import Ways
from ziggurat.services.uri import Uri

ONION = "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion"


def ways(general: str | None, *entries: str, **options: bool) -> Ways:
    proxy = None if general is None else parse_socks5_proxy(general)
    return Ways(general=proxy, entries=tuple(map(parse_network_proxy, entries)), **options)  # type: ignore[arg-type]


G, A, B = "socks5://general:9050", "socks5://a:9050", "socks5://b:9050"


@pytest.mark.parametrize(
    ("table", "shown"),
    [
        (ways(None), ("direct", "direct", "refused", "direct")),
        (ways("general"), (G, G, G, G)),
        (ways("general", "ipv4=direct"), ("direct", G, G, G)),  # a name is not looked up here
        (ways("general", "ipv4=0"), ("refused", G, G, "refused")),
        (ways("general", "ipv4=a"), (A, G, G, A)),
        (ways("general", "ipv6=a"), (G, A, G, G)),
        (ways(None, "ipv6=a"), ("refused", A, "refused", A)),
        (ways(None, "onion=a"), ("refused", "refused", A, "refused")),
        (ways(None, "onion=a", "ipv4=direct"), ("direct", "refused", A, "direct")),
        (ways(None, "ipv4=direct", "ipv6=b"), ("direct", B, "refused", B)),
        (ways(None, "ipv4=a", "ipv4=b"), (B, "refused", "refused", B)),
        (ways(None, "onion=0"), ("direct", "direct", "refused", "direct")),
        (ways(None, "onion=a", tor_only=True), (A, A, A, A)),
        (ways(None, "onion=a", "ipv4=b", tor_only=True), (B, A, A, B)),
        (ways(None, awaited=True), ("refused", "refused", "refused", "refused")),
    ],
)
def test_the_table_of_networks_and_names(table: Ways, shown: tuple[str, ...]) -> None:
    assert tuple(str(way) for _, way in table.table()) == shown


def test_once_tor_has_told_its_proxy_it_serves_what_had_none() -> None:
    told = Proxy(Uri("socks5", "tor", 9050))

    assert str(ways(None, "ipv4=a", awaited=True).with_tor(told)) == (
        "ipv4 socks5://a:9050, ipv6 socks5://tor:9050, onion socks5://tor:9050, names socks5://a:9050"
    )
    assert str(ways("general", awaited=True).with_tor(told)) == G


@pytest.mark.parametrize(
    ("target", "network"),
    [
        ("http://192.0.2.1:1", "ipv4"),
        ("http://[::ffff:192.0.2.1]:1", "ipv4"),
        ("http://[2001:db8::1]:1", "ipv6"),
        ("http://[fe80::1%25eth0]:1", "ipv6"),
        (f"http://{ONION}:1", "onion"),
        ("http://mistyped.onion:1", "onion"),
        ("http://a.example:1", "ipv4"),
    ],
)
def test_the_network_of_a_target(target: str, network: str) -> None:
    assert ways("general", "ipv6=a").of(Uri.parse(target)).network is AddressNetwork(network)


def test_a_name_is_resolved_by_whom_the_table_says() -> None:
    assert ways(None).of_name().resolver == "this machine"
    assert ways("general", "ipv4=direct").of_name().resolver == "the proxy general:9050"
    assert ways(None, "onion=a").of_name().resolver == "nobody"


def test_what_the_node_dials_by_itself() -> None:
    only = replace(ways("general"), onlynet=frozenset({AddressNetwork.IPV6}))
    peers = [parse_peer_address(text) for text in ("192.0.2.1:1", "[2001:db8::1]:1", f"{ONION}:1", "a.example:1")]

    assert [only.dials(peer) for peer in peers] == [False, True, False, False]
    assert [ways("general").dials(peer) for peer in peers] == [True] * 4
    assert [ways(None).dials(peer) for peer in peers] == [True, True, False, True]
    assert [ways("general", tor_only=True).dials(peer) for peer in peers] == [False, False, True, False]


@pytest.mark.parametrize(
    ("table", "known"),
    [
        (ways(None), False),
        (ways("general"), True),
        (ways("general", "onion=0"), False),
        (ways(None, "onion=a"), True),
        (ways(None, "onion=http://a:8118"), True),  # named for onion services: perhaps Tor's HTTPTunnelPort
        (Ways(general=parse_proxy_url("http://proxy:8080")), False),
        (Ways(general=parse_proxy_url("socks4://proxy")), False),
        (Ways(general=parse_proxy_url("unix:/run/tor/socks")), True),
        (ways(None, awaited=True), False),  # until Tor has told its proxy
        (ways(None, awaited=True).with_tor(Proxy(Uri("socks5", "tor", 9050))), True),
        (replace(ways("general"), onlynet=frozenset({AddressNetwork.IPV4})), False),
        (ways("general", tor_only=True), True),
    ],
)
def test_onion_services_are_of_use_where_a_proxy_may_be_tor(table: Ways, known: bool) -> None:
    assert table.knows_onions is known
    assert table.dials(parse_peer_address(f"{ONION}:1")) is known


@pytest.mark.parametrize(
    ("table", "seeds"),
    [
        (ways(None), True),
        (ways("general"), True),
        (ways("general", tor_only=True), False),
        (ways(None, "onion=a"), False),
        (ways(None, awaited=True), True),
        (replace(ways("general"), onlynet=frozenset({AddressNetwork.ONION})), False),
        (replace(ways("general"), onlynet=frozenset({AddressNetwork.IPV6})), True),
    ],
)
def test_seeders_are_asked_only_for_addresses_that_can_be_dialled(table: Ways, seeds: bool) -> None:
    assert table.seeds is seeds


def test_each_proxy_counts_once_and_hides_the_machine() -> None:
    assert list(map(str, ways("general", "ipv4=a", "onion=b").proxies)) == [A, G, B]
    assert [table.proxied for table in (ways(None), ways(None, "ipv4=direct"), ways(None, "onion=a"))] == [
        *(False, False, True)
    ]
    assert ways(None, "onion=a", "onion=0").proxied is False
