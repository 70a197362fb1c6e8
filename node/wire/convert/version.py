"""The Version message, in which a node introduces itself."""

from __future__ import annotations

from dataclasses import dataclass

from ziggurat.node.address import NetAddress
from ziggurat.node.wire.convert.errors import ConversionError
from ziggurat.node.wire.convert.hashes import subnetwork_id_from_wire, subnetwork_id_to_wire
from ziggurat.node.wire.convert.integers import unsigned
from ziggurat.node.wire.convert.net_address import net_address_from_wire, net_address_to_wire
from ziggurat.node.wire.p2p_pb2 import VersionMessage

__all__ = [
    "MAX_USER_AGENT",
    "ONION_SERVICES",
    "PEER_ID_BYTES",
    "Version",
    "truncated_user_agent",
    "version_from_wire",
    "version_to_wire",
]

MAX_USER_AGENT = 256
"""Bytes of UTF-8."""

PEER_ID_BYTES = 16

ONION_SERVICES = 1 << 23
"""The bit of ``services`` of a node that can dial onion services, and so may be told of them. It is that of
rusty-kaspa's pull request 755; kaspad 2.1.0 knows no bits."""


@dataclass(frozen=True, slots=True)
class Version:
    """The first message of each side.

    Attributes:
        protocol_version: the sender's highest protocol version; the lower one of the two sides is used.
        network: the network, e.g. ``kaspa-mainnet``; must be equal on both sides.
        id: the sender's id, 16 bytes, random for each process.
        user_agent: the sender's user agent, which may be any text; e.g. ``/kaspad:2.1.0/``.
        timestamp: the sender's clock, in milliseconds since 1970. Neither kaspad nor we check it.
        services: bits, of which `ONION_SERVICES` is the only one with a meaning.
        address: the address that the sender advertises; ``None`` for none. It is never an onion service.
        disable_relay_tx: requests no transaction inventories. kaspad sends them anyway.
        subnetwork_id: 20 bytes; ``None`` for all subnetworks.
    """

    protocol_version: int
    network: str
    id: bytes
    user_agent: str = ""
    timestamp: int = 0
    services: int = 0
    address: NetAddress | None = None
    disable_relay_tx: bool = False
    subnetwork_id: bytes | None = None


def truncated_user_agent(text: str) -> str:
    """Return the text cut to 256 bytes of UTF-8, between characters."""
    return text.encode(errors="replace")[:MAX_USER_AGENT].decode(errors="ignore")


def version_from_wire(message: VersionMessage) -> Version:
    """Convert a Version from its message. A user agent that is too long is cut.

    Raises:
        ConversionError: the id does not have 16 bytes, or the address or the subnetwork id is malformed.
    """
    return Version(
        protocol_version=message.protocolVersion,
        network=message.network,
        id=_peer_id(message.id),
        user_agent=truncated_user_agent(message.userAgent),
        timestamp=message.timestamp,
        services=message.services,
        address=net_address_from_wire(message.address) if message.HasField("address") else None,
        disable_relay_tx=message.disableRelayTx,
        subnetwork_id=subnetwork_id_from_wire(message.subnetworkId, present=message.HasField("subnetworkId")),
    )


def version_to_wire(version: Version) -> VersionMessage:
    """Convert a Version to its message. Fields that are ``None`` stay absent, since peers refuse empty ones.

    Raises:
        ConversionError: the id does not have 16 bytes, the subnetwork id does not have 20, or a number is out of range.
    """
    return VersionMessage(
        protocolVersion=unsigned(version.protocol_version, 32),
        network=version.network,
        id=_peer_id(version.id),
        userAgent=truncated_user_agent(version.user_agent),
        timestamp=unsigned(version.timestamp, 63),
        services=unsigned(version.services, 64),
        address=net_address_to_wire(version.address) if version.address is not None else None,
        disableRelayTx=version.disable_relay_tx,
        subnetworkId=subnetwork_id_to_wire(version.subnetwork_id),
    )


def _peer_id(value: bytes) -> bytes:
    if len(value) != PEER_ID_BYTES:
        raise ConversionError(f"invalid length: expected {PEER_ID_BYTES} bytes, found {len(value)}")
    return value
