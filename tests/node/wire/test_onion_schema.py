"""Onion services on the wire, beside the schemas of other nodes: rusty-kaspa's #755, and kaspad 2.1.0."""

from __future__ import annotations

from collections.abc import Callable

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

from ziggurat.node.address import NetAddress, OnionNetAddress
from ziggurat.node.wire import ONION_SERVICES, Version, addresses_from_wire, addresses_to_wire, p2p_pb2
from ziggurat.node.wire.convert.version import version_from_wire, version_to_wire

Field = descriptor_pb2.FieldDescriptorProto

ONION = OnionNetAddress.parse("2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion:16111")
IP = NetAddress.parse("192.0.2.1:16111")
ADDRESSES = [IP, ONION, NetAddress.parse("[2001:db8::1]:5")]


def schema(*, onions: bool) -> Callable[[str], type[Message]]:
    """Return the messages of another node by name, made from what is known of its schema."""
    file = descriptor_pb2.FileDescriptorProto(name="their.proto", package="protowire", syntax="proto3")
    address = file.message_type.add(name="NetAddress")
    one, many = Field.LABEL_OPTIONAL, Field.LABEL_REPEATED
    address.field.add(name="timestamp", number=1, type=Field.TYPE_INT64, label=one)
    ip = address.field.add(name="ip", number=3, type=Field.TYPE_BYTES, label=one)
    address.field.add(name="port", number=4, type=Field.TYPE_UINT32, label=one)
    if onions:
        address.oneof_decl.add(name="address_kind")
        ip.oneof_index = 0
        address.field.add(name="onion", number=5, type=Field.TYPE_STRING, label=one, oneof_index=0)
    entries = file.message_type.add(name="AddressesMessage")
    kind = ".protowire.NetAddress"
    entries.field.add(name="addressList", number=1, type=Field.TYPE_MESSAGE, type_name=kind, label=many)
    version = file.message_type.add(name="VersionMessage")
    version.field.add(name="services", number=2, type=Field.TYPE_UINT64, label=one)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())

    return lambda name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"protowire.{name}"))


WITH, WITHOUT = schema(onions=True), schema(onions=False)


def test_nodes_that_know_onion_services_read_ours() -> None:
    read = WITH("AddressesMessage").FromString(addresses_to_wire(ADDRESSES).SerializeToString())

    kinds = [entry.WhichOneof("address_kind") for entry in read.addressList]  # type: ignore[attr-defined]
    assert kinds == ["ip", "onion", "ip"]
    entry = read.addressList[1]  # type: ignore[attr-defined]
    assert (entry.onion, entry.port) == (str(ONION.onion), 16111)


def test_we_read_theirs() -> None:
    theirs = WITH("AddressesMessage")()
    entries = theirs.addressList  # type: ignore[attr-defined]
    entries.add(ip=IP.ip.packed, port=IP.port)
    entries.add(onion=str(ONION.onion), port=ONION.port)
    entries.add(ip=ADDRESSES[2].ip.packed, port=5)  # type: ignore[union-attr]
    message = p2p_pb2.AddressesMessage.FromString(theirs.SerializeToString())

    assert addresses_from_wire(message, onions=True) == tuple(ADDRESSES)
    assert message.SerializeToString() == theirs.SerializeToString()


def test_of_two_hosts_in_one_entry_both_read_the_last() -> None:
    data = WITH("NetAddress")(onion="x").SerializeToString() + WITH("NetAddress")(ip=bytes(4)).SerializeToString()

    assert WITH("NetAddress").FromString(data).WhichOneof("address_kind") == "ip"
    assert p2p_pb2.NetAddress.FromString(data).WhichOneof("host") == "ip"


def test_kaspad_reads_an_onion_service_as_an_ip_of_no_bytes() -> None:
    read = WITHOUT("AddressesMessage").FromString(addresses_to_wire([ONION]).SerializeToString())

    assert [entry.ip for entry in read.addressList] == [b""]  # type: ignore[attr-defined]


def test_addresses_without_onion_services_have_the_same_bytes_as_before() -> None:
    ours = addresses_to_wire([IP, ADDRESSES[2]]).SerializeToString()

    assert WITHOUT("AddressesMessage").FromString(ours).SerializeToString() == ours


def test_the_bit_is_the_twenty_third() -> None:
    ours = version_to_wire(Version(11, "kaspa-devnet", b"i" * 16, services=ONION_SERVICES))
    theirs = WITH("VersionMessage").FromString(ours.SerializeToString())

    assert theirs.services == 1 << 23  # type: ignore[attr-defined]
    assert version_from_wire(p2p_pb2.VersionMessage.FromString(ours.SerializeToString())).services == 1 << 23
