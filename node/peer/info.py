"""The record of a peer, and the key that identifies it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import anyio

from ziggurat.node.address import PeerAddress
from ziggurat.node.wire import Version

__all__ = ["ONION", "PROXIED", "Direction", "PeerInfo", "PeerKey", "peer_info", "peer_key"]

Direction: TypeAlias = Literal["inbound", "outbound"]

PROXIED = "proxied"
"""Replaces the IP of a peer that came in through a proxy or an onion service, where the socket shows only our proxy."""


ONION = "onion"
"""The ``via`` of a peer that came in by our onion service: as `PROXIED`, and its network is known."""


class PeerKey(NamedTuple):
    """The identity of a peer: connections with equal keys are to the same peer. An inbound port is random and left out.

    Attributes:
        id: the id in the peer's Version, 16 bytes.
        host: the canonical IP as text, the name that was dialled, or `PROXIED`.
    """

    id: bytes
    host: str


def peer_key(id: bytes, address: PeerAddress, *, proxied: bool = False) -> PeerKey:
    """Return the key of a peer at ``address``; ``proxied`` for an inbound peer whose own address we cannot see."""
    if proxied:
        return PeerKey(id, PROXIED)
    return PeerKey(id, address.host)


@dataclass(frozen=True, slots=True)
class PeerInfo:
    """The record of a peer that has completed the handshake.

    Attributes:
        id: the id of the peer's process, 16 bytes.
        address: the address that was dialled, or that an inbound peer came from.
        direction: ``outbound`` if we dialled, else ``inbound``.
        via: the proxy that the dial went through; ``proxied`` for an inbound peer behind one, ``onion`` for one that
            came in by our onion service; ``None`` when direct.
        user_agent: the peer's user agent, which may be any text.
        protocol_version: the highest protocol version that the peer supports.
        network: the peer's network, e.g. ``kaspa-mainnet``.
        services: 0; no bit has a meaning.
        connected_at: the time on the event loop's clock, in seconds.
        ping: the last round trip time, in seconds; ``None`` before the first one.
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
    def hidden(self) -> bool:
        """Whether the address is not the peer's own, but that of a proxy or of Tor."""
        return self.direction == "inbound" and self.via is not None

    @property
    def key(self) -> PeerKey:
        """The peer's key in the hub."""
        return peer_key(self.id, self.address, proxied=self.hidden)


def peer_info(version: Version, address: PeerAddress, direction: Direction, via: str | None) -> PeerInfo:
    """Return the record of a peer that connects now, from its Version."""
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
