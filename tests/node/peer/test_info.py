from __future__ import annotations

import dataclasses

import pytest

from tests.node.lines import info
from ziggurat.node.address import AddressNetwork, NamedAddress, NetAddress, OnionNetAddress, parse_peer_address
from ziggurat.node.peer.info import ONION as BY_ONION
from ziggurat.node.peer.info import PROXIED, Link, PeerKey, network_of, peer_info, peer_key
from ziggurat.node.wire import ONION_SERVICES, Version
from ziggurat.services import OnionAddress, Uri

ID = b"i" * 16
ONION = "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("1.2.3.4", NetAddress.parse("1.2.3.4:16111")),
        ("1.2.3.4:5", NetAddress.parse("1.2.3.4:5")),
        ("::1", NetAddress.parse("[::1]:16111")),
        ("[::1]:5", NetAddress.parse("[::1]:5")),
        ("::ffff:1.2.3.4", NetAddress.parse("1.2.3.4:16111")),
        ("Peer.Example", NamedAddress("peer.example", 16111)),
        ("peer.example:5", NamedAddress("peer.example", 5)),
        (f"{ONION}:5", OnionNetAddress(OnionAddress.parse(ONION), 5)),
    ],
)
def test_an_address_is_an_ip_an_onion_service_or_a_name(text: str, address: object) -> None:
    assert parse_peer_address(text, 16111) == address


@pytest.mark.parametrize(
    "text", ["", ":5", "a b", "1.2.3.4:x", "[::1]:99999", "[peer]:1", "1.2.3.999", "a:0", "::1:x:"]
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"bad (address|host|port)"):
        parse_peer_address(text, 16111)


@pytest.mark.parametrize("text", ["1.2.3.4", "peer.example", "::1"])
def test_without_a_default_the_port_is_required(text: str) -> None:
    with pytest.raises(ValueError, match="has no port"):
        parse_peer_address(text)


def test_a_named_address_refuses_an_ip() -> None:
    with pytest.raises(ValueError, match="is an IP address, not a name"):
        NamedAddress("1.2.3.4", 5)


def test_a_name_is_dialled_unresolved() -> None:
    address = NamedAddress("Peer.example", 5)
    assert address.uri() == Uri.parse("http://peer.example:5")
    assert str(address) == "peer.example:5"


def test_a_key_is_the_id_and_the_host_without_the_port() -> None:
    assert peer_key(ID, NetAddress.parse("1.2.3.4:5")) == peer_key(ID, NetAddress.parse("[::ffff:1.2.3.4]:6"))
    assert peer_key(ID, NetAddress.parse("1.2.3.4:5")) != peer_key(b"j" * 16, NetAddress.parse("1.2.3.4:5"))
    assert peer_key(ID, NetAddress.parse("1.2.3.4:5")) != peer_key(ID, NetAddress.parse("1.2.3.5:5"))
    assert peer_key(ID, OnionNetAddress.parse(ONION, 5)) == PeerKey(ID, ONION, AddressNetwork.ONION)


def test_inbound_peers_behind_a_proxy_have_their_own_keys() -> None:
    assert peer_key(ID, NetAddress.parse("127.0.0.1:5"), proxied=True) == PeerKey(ID, PROXIED, AddressNetwork.IPV4)
    inbound = dataclasses.replace(info(ID, "inbound"), via=PROXIED)
    assert inbound.key == PeerKey(ID, PROXIED, AddressNetwork.IPV4)
    outbound = dataclasses.replace(info(ID), via="127.0.0.1:9050")
    assert outbound.key == PeerKey(ID, "10.0.0.2", AddressNetwork.IPV4)


def test_a_peer_in_two_networks_has_two_keys() -> None:
    """Else an onion service could be told from any other by showing its id at an IP address, too."""
    onion = peer_key(ID, NetAddress.parse("127.0.0.1:5"), proxied=True, network=AddressNetwork.ONION)
    assert onion == PeerKey(ID, PROXIED, AddressNetwork.ONION)
    assert onion != peer_key(ID, NetAddress.parse("127.0.0.1:5"), proxied=True)


def test_the_network_of_an_address() -> None:
    addresses = (NetAddress.parse("[2001:db8::1]:5"), OnionNetAddress.parse(ONION, 5), NamedAddress("a.example", 5))
    assert [str(network_of(address)) for address in addresses] == ["ipv6", "onion", "ipv4"]


@pytest.mark.parametrize(("ours", "theirs", "agreed"), [(0, 1, False), (1, 0, False), (1, 1, True), (0, 0, False)])
@pytest.mark.asyncio_only
async def test_onion_services_are_agreed_on_if_both_sides_set_the_bit(ours: int, theirs: int, agreed: bool) -> None:
    others = ~ONION_SERVICES & 0xFFFF_FFFF
    version = Version(11, "kaspa-devnet", ID, services=theirs * ONION_SERVICES | others)
    link = Link.to(NetAddress.parse("1.2.3.4:5"), None)

    assert peer_info(version, link, ours * ONION_SERVICES | others).onions is agreed
    assert peer_info(version, link).onions is False


def test_by_onion_is_a_service_that_was_dialled_or_who_came_in_by_ours() -> None:
    service = OnionNetAddress.parse(ONION, 5)
    inbound = info(ID, "inbound")

    assert dataclasses.replace(info(ID), address=service, via="127.0.0.1:9050").by_onion
    assert dataclasses.replace(inbound, via=BY_ONION).by_onion
    assert not dataclasses.replace(inbound, via=PROXIED).by_onion
    assert not inbound.by_onion
    assert not dataclasses.replace(info(ID), via="127.0.0.1:9050").by_onion
