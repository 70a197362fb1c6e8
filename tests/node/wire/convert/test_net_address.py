from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.node.address import NetAddress, NodeAddress, OnionNetAddress
from ziggurat.node.wire import p2p_pb2
from ziggurat.node.wire.convert.errors import OUT_OF_RANGE, ConversionError
from ziggurat.node.wire.convert.net_address import (
    addresses_from_wire,
    addresses_to_wire,
    net_address_from_wire,
    net_address_to_wire,
)

ONION = "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion"

ONE = NetAddress(IPv4Address("106.10.138.240"), 123)


@given(st.from_type(NetAddress))
def test_an_address_survives_a_round_trip(address: NetAddress) -> None:
    assert net_address_from_wire(net_address_to_wire(address)) == address


@given(st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16), st.integers(0, 65535), st.integers(0))
def test_a_message_survives_a_round_trip_except_for_timestamp_and_v4_mapping(
    ip: bytes, port: int, timestamp: int
) -> None:
    message = p2p_pb2.NetAddress(ip=ip, port=port, timestamp=timestamp % 2**63)

    again = net_address_to_wire(net_address_from_wire(message))

    expected = ip[12:] if len(ip) == 16 and ip.startswith(b"\0" * 10 + b"\xff\xff") else ip
    assert (again.ip, again.port, again.timestamp) == (expected, port, 0)


def test_four_bytes_are_ipv4_in_network_order() -> None:
    assert net_address_to_wire(ONE) == p2p_pb2.NetAddress(ip=bytes.fromhex("6a0a8af0"), port=123)


def test_a_v4_mapped_address_is_read_as_ipv4() -> None:
    mapped = p2p_pb2.NetAddress(ip=IPv6Address("::ffff:106.10.138.240").packed, port=123)

    assert net_address_from_wire(mapped) == ONE


@pytest.mark.parametrize("length", [0, 1, 3, 5, 15, 17, 32])
def test_an_ip_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ConversionError, match=f"^IP has illegal length {length}$"):
        net_address_from_wire(p2p_pb2.NetAddress(ip=bytes(length), port=1))


def test_a_port_above_65535_is_refused_and_port_0_is_not() -> None:
    with pytest.raises(ConversionError, match=OUT_OF_RANGE):
        net_address_from_wire(p2p_pb2.NetAddress(ip=bytes(4), port=65536))

    assert net_address_from_wire(p2p_pb2.NetAddress(ip=bytes(4), port=0)).port == 0


@given(st.lists(st.from_type(NetAddress) | st.from_type(OnionNetAddress), max_size=20))
def test_a_list_keeps_its_order(addresses: list[NodeAddress]) -> None:
    assert addresses_from_wire(addresses_to_wire(addresses), onions=True) == tuple(addresses)


@given(st.lists(st.from_type(NetAddress) | st.from_type(OnionNetAddress), max_size=20))
def test_onion_services_that_were_not_agreed_on_are_left_out(addresses: list[NodeAddress]) -> None:
    known = tuple(address for address in addresses if isinstance(address, NetAddress))

    assert addresses_from_wire(addresses_to_wire(addresses)) == known


@pytest.mark.parametrize(
    "name",
    [
        ONION.replace("w", "x", 1),  # the checksum
        f"{'a' * 56}.onion",
        "expyuzz4wqqyqhjn.onion",  # version 2
        f"www.{ONION}",
        f"{ONION}.",
        ONION.removesuffix(".onion"),
        f"{'é' * 56}.onion",
        "",
    ],
)
def test_a_name_that_is_no_onion_service_is_left_out_alone(name: str) -> None:
    entries = [net_address_to_wire(ONE), p2p_pb2.NetAddress(onion=name, port=1), p2p_pb2.NetAddress(onion=ONION)]

    taken = addresses_from_wire(p2p_pb2.AddressesMessage(addressList=entries), onions=True)

    assert taken == (ONE, OnionNetAddress.parse(ONION, 0))


@pytest.mark.parametrize("onions", [False, True])
def test_a_port_above_65535_is_refused_with_an_onion_service_too(onions: bool) -> None:
    message = p2p_pb2.AddressesMessage(addressList=[p2p_pb2.NetAddress(onion=ONION, port=65536)])

    with pytest.raises(ConversionError, match=OUT_OF_RANGE):
        addresses_from_wire(message, onions=onions)


def test_an_onion_service_in_place_of_an_ip_is_refused_as_kaspad_does() -> None:
    with pytest.raises(ConversionError, match=r"^IP has illegal length 0$"):
        net_address_from_wire(p2p_pb2.NetAddress(onion=ONION, port=1))


def test_lists_are_limited_to_1000_sent_and_2500_received() -> None:
    assert len(addresses_to_wire([ONE] * 1000).addressList) == 1000
    with pytest.raises(ConversionError):
        addresses_to_wire([ONE] * 1001)
    message = p2p_pb2.AddressesMessage(addressList=[net_address_to_wire(ONE)] * 2500)
    assert len(addresses_from_wire(message)) == 2500
    message.addressList.append(p2p_pb2.NetAddress(onion=ONION, port=1))  # counted, though it is left out
    with pytest.raises(ConversionError, match=r"^address count 2501 exceeded 2500$"):
        addresses_from_wire(message)


def test_one_malformed_entry_invalidates_a_list() -> None:
    message = p2p_pb2.AddressesMessage(addressList=[net_address_to_wire(ONE), p2p_pb2.NetAddress(ip=b"abc")])

    with pytest.raises(ConversionError, match="IP has illegal length 3"):
        addresses_from_wire(message)
