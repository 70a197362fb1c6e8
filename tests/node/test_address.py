from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.node.address import (
    AddressNetwork,
    NamedAddress,
    NetAddress,
    OnionNetAddress,
    canonical_ip,
    parse_peer_address,
)
from ziggurat.node.wire.convert.net_address import net_address_to_wire
from ziggurat.services.uri import Uri


def test_a_v4_mapped_address_equals_the_ipv4_one() -> None:
    mapped = NetAddress(IPv6Address("::ffff:192.0.2.7"), 16111)

    assert mapped == NetAddress(IPv4Address("192.0.2.7"), 16111)
    assert hash(mapped) == hash(NetAddress(IPv4Address("192.0.2.7"), 16111))


def test_only_a_link_local_address_keeps_its_zone_id() -> None:
    assert canonical_ip(IPv6Address("2001:db8::1%eth0")) == IPv6Address("2001:db8::1")
    assert canonical_ip(IPv6Address("fe80::1%eth0")) == IPv6Address("fe80::1%eth0")


@pytest.mark.parametrize("text", ["[fe80::1%v0]:16111", "[fe80::1%25v0]:16111", "fe80::1%v0"])
def test_a_link_local_peer_is_dialled_in_its_zone(text: str) -> None:
    assert parse_peer_address(text, 16111).uri() == Uri("http", "fe80::1%v0", 16111)


@pytest.mark.parametrize("text", ["fe80::1", "[fe80::1]:16111"])
def test_a_link_local_peer_without_a_zone_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"link-local; name its interface, as in \[fe80::1%eth0\]"):
        parse_peer_address(text, 16111)


@pytest.mark.parametrize(
    ("text", "kind"), [("224.0.0.1", "multicast"), ("[ff02::1]:5", "multicast"), ("255.255.255.255:5", "broadcast")]
)
def test_what_is_no_address_of_one_machine_is_refused_as_a_peer(text: str, kind: str) -> None:
    with pytest.raises(ValueError, match=f"is .* {kind} address"):
        parse_peer_address(text, 16111)


def test_an_address_with_a_zone_can_be_parsed_back() -> None:
    address = NetAddress.parse("[fe80::1%v0]:5")
    assert str(address) == "[fe80::1%v0]:5"
    assert NetAddress.parse(str(address)) == address != NetAddress.parse("[fe80::1%v1]:5")


def test_no_message_contains_a_zone() -> None:
    assert net_address_to_wire(NetAddress.parse("[fe80::1%v0]:5")).ip == IPv6Address("fe80::1").packed


@given(st.builds(IPv6Address, st.integers(0, (1 << 128) - 1)) | st.builds(IPv4Address, st.integers(0, (1 << 32) - 1)))
def test_the_canonical_form_is_stable(ip: IPv4Address | IPv6Address) -> None:
    assert canonical_ip(canonical_ip(ip)) == canonical_ip(ip)


@given(
    st.builds(IPv6Address, st.integers(0, (1 << 128) - 1)) | st.builds(IPv4Address, st.integers(0, (1 << 32) - 1)),
    st.integers(0, 65535),
)
def test_str_can_be_parsed_back(ip: IPv4Address | IPv6Address, port: int) -> None:
    assert NetAddress.parse(str(NetAddress(ip, port))) == NetAddress(ip, port)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.1:5", "10.0.0.1:5"),
        ("10.0.0.1", "10.0.0.1:16111"),
        ("2001:db8::1", "[2001:db8::1]:16111"),
        ("[2001:DB8::1]", "[2001:db8::1]:16111"),
        ("[2001:db8::1]:0", "[2001:db8::1]:0"),
        ("[::ffff:10.0.0.1]:5", "10.0.0.1:5"),
    ],
)
def test_an_address_is_parsed_with_or_without_a_port(text: str, expected: str) -> None:
    assert str(NetAddress.parse(text, 16111)) == expected


@pytest.mark.parametrize(
    "text", ["", "name:1", "10.0.0.1:65536", "10.0.0.1:", "2001:db8::1:x", "10.0.0:1", "[10.0.0.1]:1"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"bad (address|host|port)"):
        NetAddress.parse(text, 16111)


def test_a_missing_port_is_named() -> None:
    with pytest.raises(ValueError, match=r"'10\.0\.0\.1' has no port"):
        NetAddress.parse("10.0.0.1")


@pytest.mark.parametrize("port", [-1, 65536, True, 1.0])
def test_a_port_out_of_range_is_refused(port: object) -> None:
    with pytest.raises(ValueError, match="bad port"):
        NetAddress(ip_address("10.0.0.1"), port)  # type: ignore[arg-type]


def test_text_instead_of_an_ip_is_refused() -> None:
    with pytest.raises(TypeError, match=r"'10\.0\.0\.1'"):
        NetAddress("10.0.0.1", 1)  # type: ignore[arg-type]


def test_the_uri_is_the_address() -> None:
    assert NetAddress.parse("[::1]:7").uri() == Uri("http", "::1", 7)


def test_port_0_cannot_be_dialled() -> None:
    with pytest.raises(ValueError, match="bad port"):
        NetAddress.parse("10.0.0.1:0").uri()


ONION = "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion"


def test_an_onion_service_is_verified_and_knows_its_network() -> None:
    address = parse_peer_address(f"{ONION.upper()}:1234", 16111)

    assert address == OnionNetAddress.parse(ONION, 1234)
    assert isinstance(address, OnionNetAddress)
    assert (address.network, address.host, str(address)) == (AddressNetwork.ONION, ONION, f"{ONION}:1234")
    assert address.uri() == Uri("http", ONION, 1234)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a" + ONION[1:], "the checksum of"),
        ("x.onion:16111", "has 1 characters"),
        (f"{ONION}:65536", "bad port: 65536"),
        (f"{ONION}:0x1", "bad port"),
    ],
)
def test_a_bad_onion_address_says_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_peer_address(text, 16111)
    with pytest.raises(ValueError, match=message):
        OnionNetAddress.parse(text, 16111)


def test_an_onion_service_is_no_name() -> None:
    with pytest.raises(ValueError, match="use OnionNetAddress"):
        NamedAddress(ONION, 16111)


def test_an_address_knows_its_network_and_a_name_has_none() -> None:
    assert NetAddress.parse("192.0.2.7", 1).network is AddressNetwork.IPV4
    assert NetAddress.parse("::ffff:192.0.2.7", 1).network is AddressNetwork.IPV4
    assert NetAddress.parse("2001:db8::7", 1).network is AddressNetwork.IPV6
    assert not hasattr(NamedAddress("peer.example", 1), "network")
    assert (NetAddress.parse("[2001:db8::7]:1").host, NamedAddress("peer.example", 1).host) == (
        "2001:db8::7",
        "peer.example",
    )
