"""Who a node says it is."""

from __future__ import annotations

from dataclasses import dataclass

from ziggurat.node.address import NetAddress
from ziggurat.node.wire.convert.errors import ConversionError
from ziggurat.node.wire.convert.hashes import subnetwork_id_from_wire, subnetwork_id_to_wire
from ziggurat.node.wire.convert.integers import unsigned
from ziggurat.node.wire.convert.net_address import net_address_from_wire, net_address_to_wire
from ziggurat.node.wire.p2p_pb2 import VersionMessage

__all__ = ["MAX_USER_AGENT", "PEER_ID_BYTES", "Version", "truncated_user_agent", "version_from_wire", "version_to_wire"]

MAX_USER_AGENT = 256
"""Bytes of UTF-8."""

PEER_ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class Version:
    """What both sides say first.

    Attributes:
        protocol_version: the highest one spoken; the lower of two is used.
        network: e.g. ``kaspa-mainnet``; must be equal on both sides.
        id: 16 bytes, random for each process.
        user_agent: e.g. ``/kaspad:2.1.0/``. Text of the peer's choice.
        timestamp: milliseconds since 1970, by the sender's clock. kaspad checks nothing of it, nor do we.
        services: 0; no bit has a meaning.
        address: where the sender can be reached; ``None`` unless it knows.
        disable_relay_tx: asks for no transaction inventories. kaspad sends them all the same.
        subnetwork_id: 20 bytes; ``None`` for all.
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
    """Cut to 256 bytes of UTF-8, at the end of a character."""
    return text.encode(errors="replace")[:MAX_USER_AGENT].decode(errors="ignore")


def version_from_wire(message: VersionMessage) -> Version:
    """Read a version. A user agent that is too long is cut, which is no error.

    Raises:
        ConversionError: the id has not 16 bytes, or an address or a subnetwork id is there and malformed.
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
    """Write a version; fields that are ``None`` stay absent, since a present and empty one is refused.

    Raises:
        ConversionError: the id has not 16 bytes, the subnetwork id not 20, or a number is out of range.
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
