from __future__ import annotations

from dataclasses import replace

import pytest

from ziggurat.node.address import AddressNetwork, NetAddress, parse_peer_address
from ziggurat.node.config.contradiction import find_contradiction
from ziggurat.node.config.network_proxy import parse_network_proxy
from ziggurat.node.config.proxy import parse_proxy_url, parse_socks5_proxy
from ziggurat.node.config.ways import Ways

TOR = Ways(general=parse_socks5_proxy("127.0.0.1"))
TOR_ONLY = replace(TOR, tor_only=True)
ONION = f"{'2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid'}.onion:1"
IPV4, IPV6 = AddressNetwork.IPV4, AddressNetwork.IPV6


def test_what_works_is_no_contradiction() -> None:
    peers = [parse_peer_address(text) for text in ("192.0.2.1:1", "[2001:db8::1]:1", "a.example:1", ONION)]

    assert find_contradiction(Ways()) is None
    assert find_contradiction(TOR, peers=peers, external=NetAddress.parse("9.9.9.9:1")) is None
    assert find_contradiction(TOR_ONLY, peers=peers, listen=[NetAddress.parse("127.0.0.1:1")]) is None
    assert find_contradiction(Ways(awaited=True, tor_only=True), peers=peers) is None
    assert find_contradiction(replace(TOR, randomize=False)) is None


@pytest.mark.parametrize(
    ("ways", "listen", "external", "message"),
    [
        (TOR_ONLY, "0.0.0.0:1", None, "listen 0.0.0.0:1 would let peers connect past Tor"),
        (TOR_ONLY, "192.0.2.1:1", None, "listen 192.0.2.1:1 would let peers connect past Tor"),
        (TOR_ONLY, None, "9.9.9.9:0", "externalip 9.9.9.9 would tell this machine's address"),
        (replace(TOR_ONLY, onlynet=frozenset({IPV4})), None, None, "tor-only is onlynet onion, but onlynet ipv4"),
        (
            replace(TOR_ONLY, entries=(parse_network_proxy("ipv6=direct"),)),
            None,
            None,
            "tor-only dials nothing directly, but proxy-net ipv6=direct is given",
        ),
        (
            Ways(entries=(parse_network_proxy("ipv4=tor"),), onlynet=frozenset({IPV6})),
            None,
            None,
            "onlynet ipv6 leaves nothing to dial: ipv6 has no proxy",
        ),
        (
            Ways(general=parse_socks5_proxy("socks5://u:S3CRET@tor"), randomize=False),
            None,
            None,
            "no-proxyrandomize offers no credentials, but the proxy socks5://***:***@tor:9050 has some",
        ),
        (
            Ways(entries=(parse_network_proxy("onion=socks5://u:S3CRET@tor"),), randomize=False),
            None,
            None,
            "no-proxyrandomize offers no credentials",
        ),
        (Ways(tor_only=True, awaited=True, entries=(parse_network_proxy("onion=0"),)), None, None, "tor-only leaves"),
    ],
)
def test_a_contradiction_is_told_in_one_line(
    ways: Ways, listen: str | None, external: str | None, message: str
) -> None:
    text = find_contradiction(
        ways,
        listen=[] if listen is None else [NetAddress.parse(listen)],
        external=None if external is None else NetAddress.parse(external),
    )

    assert text is not None
    assert text.startswith(message)
    assert "\n" not in text
    assert "S3CRET" not in text


@pytest.mark.parametrize("peer", [ONION, "192.0.2.1:1", "a.example:1"])
def test_a_peer_that_no_way_leads_to_is_told_at_the_start(peer: str) -> None:
    only_ipv6 = Ways(entries=(parse_network_proxy("ipv6=tor"), parse_network_proxy("ipv4=0")))

    text = find_contradiction(only_ipv6, peers=[parse_peer_address(peer)])

    assert text is not None
    assert text.startswith(f"the peer {peer} cannot be dialled: ")


@pytest.mark.parametrize(
    ("ways", "reason"),
    [
        (Ways(), "an onion service is reached through Tor only"),
        (Ways(entries=(parse_network_proxy("onion=0"),)), "proxy-net forbids onion: its proxy is 0"),
        (Ways(general=parse_proxy_url("http://u:S3CRET@proxy:1")), "http://***:***@proxy:1 is not known to be Tor"),
        (Ways(general=parse_socks5_proxy("tor"), onlynet=frozenset({IPV6})), "onlynet leaves them out"),
    ],
)
def test_an_onion_service_that_nobody_is_told_of_is_not_public(ways: Ways, reason: str) -> None:
    text = find_contradiction(ways, onion_public=True)

    assert text is not None
    assert text.startswith("onion-public tells nobody, as only nodes that dial onion services tell of any: " + reason)
    assert "\n" not in text
    assert find_contradiction(ways) is None


def test_a_public_onion_service_may_wait_for_tors_proxy() -> None:
    assert find_contradiction(Ways(awaited=True), onion_public=True) is None
    assert find_contradiction(Ways(general=parse_socks5_proxy("tor")), onion_public=True) is None
