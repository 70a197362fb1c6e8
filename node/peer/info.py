"""The record of a peer, and the key that tells it from others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import anyio

from ziggurat.node.address import NamedAddress, PeerAddress
from ziggurat.node.wire import Version

__all__ = ["PROXIED", "Direction", "PeerInfo", "PeerKey", "peer_info", "peer_key"]

Direction: TypeAlias = Literal["inbound", "outbound"]

PROXIED = "proxied"
"""Stands for the IP of a peer that came in through a proxy or an onion service: the socket shows our own end."""


class PeerKey(NamedTuple):
    """What makes two connections one peer: the id and the host. The port is no part of it: an inbound one is random.

    Attributes:
        id: 16 bytes, as the peer says.
        host: the canonical IP as text, the name that was dialled, or `PROXIED`.
    """

    id: bytes
    host: str


def peer_key(id: bytes, address: PeerAddress, *, proxied: bool = False) -> PeerKey:
    """The key of a peer at ``address``; ``proxied`` for an inbound one whose own address nobody here can see."""
    if proxied:
        return PeerKey(id, PROXIED)
    return PeerKey(id, address.name if isinstance(address, NamedAddress) else str(address.ip))


@dataclass(frozen=True, slots=True)
class PeerInfo:
    """One peer that has come through the handshake.

    Attributes:
        id: 16 bytes, of its process.
        address: where it was dialled, or where it came from.
        direction: ``outbound``: we dialled.
        via: the proxy that the dial went through, ``proxied`` for an inbound peer behind one; ``None`` when direct.
        user_agent: text of the peer's choice.
        protocol_version: the highest one that the peer speaks.
        network: e.g. ``kaspa-mainnet``.
        services: 0; no bit has a meaning.
        connected_at: seconds of the event loop's clock.
        ping: seconds of the last round trip; ``None`` before there was one.
    """

    id: bytes
    address: PeerAddress
    direction: Direction
    via: str | None
    user_agent: str
    protocol_version: int
    network: str
    services: int
    connected_at: float
    ping: float | None = None

    @property
    def key(self) -> PeerKey:
        """What makes two connections one peer."""
        return peer_key(self.id, self.address, proxied=self.direction == "inbound" and self.via is not None)


def peer_info(version: Version, address: PeerAddress, direction: Direction, via: str | None) -> PeerInfo:
    """Make the record of a peer from what its Version says, as of now."""
    return PeerInfo(
        id=version.id,
        address=address,
        direction=direction,
        via=via,
        user_agent=version.user_agent,
        protocol_version=version.protocol_version,
        network=version.network,
        services=version.services,
        connected_at=anyio.current_time(),
    )
