"""The record of a peer, and the key that identifies it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import anyio

from ziggurat.node.address import AddressNetwork, NamedAddress, OnionNetAddress, PeerAddress
from ziggurat.node.peer.tunnel import Tunnel
from ziggurat.node.wire import ONION_SERVICES, Version

__all__ = ["ONION", "PROXIED", "Direction", "Link", "PeerInfo", "PeerKey", "network_of", "peer_info", "peer_key"]

Direction: TypeAlias = Literal["inbound", "outbound"]

PROXIED = "proxied"
"""Replaces the IP of a peer that came in through a proxy or an onion service, where the socket shows only our proxy."""


ONION = "onion"
"""The ``via`` of a peer that came in by our onion service: as `PROXIED`, and its network is known."""


class PeerKey(NamedTuple):
    """The identity of a peer: connections with equal keys are to the same peer. An inbound port is random and left out.

    A peer that is known in two networks has two keys: to tell that it is one would mean to compare what it shows on one
    side with what it shows on another. An onion service and an inbound peer of ours have two, too; see `Hub`.

    Attributes:
        id: the id in the peer's Version, 16 bytes.
        host: the canonical IP as text, the name that was dialled, or `PROXIED`.
        network: the network that the peer is reached in, or comes from.
    """

    id: bytes
    host: str
    network: AddressNetwork


def peer_key(
    id: bytes, address: PeerAddress, *, proxied: bool = False, network: AddressNetwork | None = None
) -> PeerKey:
    """Return the key of a peer at ``address``; ``proxied`` for an inbound peer whose own address we cannot see.

    ``network`` is where such a peer comes from; ``None`` takes the address's own.
    """
    return PeerKey(id, PROXIED if proxied else address.host, network or network_of(address))


def network_of(address: PeerAddress) -> AddressNetwork:
    """Return the network of an address. A name counts as ipv4."""
    return AddressNetwork.IPV4 if isinstance(address, NamedAddress) else address.network


class Link(NamedTuple):
    """How a peer is connected; the attributes are those of `PeerInfo`, ``network`` its ``address_network``."""

    address: PeerAddress
    direction: Direction
    via: str | None
    network: AddressNetwork
    tunnel: Tunnel | None = None

    @classmethod
    def to(cls, address: PeerAddress, via: str | None, tunnel: Tunnel | None = None) -> Link:
        """Return the link to a peer that we dial."""
        return cls(address, "outbound", via, network_of(address), tunnel)


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
        services: the bits of the peer's Version. Bit 23 says that it can dial onion services.
        connected_at: the time on the event loop's clock, in seconds.
        ping: the last round trip time, in seconds; ``None`` before the first one.
        address_network: the network that the peer is reached in, or comes from: ipv4 (names too), ipv6 or onion.
            Inbound peers of an onion service come from onion, though their address is that of our Tor.
        onions: whether both sides can dial onion services, and have said so in their Versions: whether they may be told
            of.
        tunnel: how the dial went through the proxy; ``None`` for inbound peers, and when direct.
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
    address_network: AddressNetwork = AddressNetwork.IPV4
    onions: bool = False
    tunnel: Tunnel | None = None

    @property
    def by_onion(self) -> bool:
        """Whether we have dialled an onion service of the peer, or it has dialled ours."""
        return self.via == ONION if self.direction == "inbound" else isinstance(self.address, OnionNetAddress)

    @property
    def hidden(self) -> bool:
        """Whether the address is not the peer's own, but that of a proxy or of Tor."""
        return self.direction == "inbound" and self.via is not None

    @property
    def key(self) -> PeerKey:
        """The peer's key in the hub."""
        return peer_key(self.id, self.address, proxied=self.hidden, network=self.address_network)


def peer_info(version: Version, link: Link, services: int = 0) -> PeerInfo:
    """Return the record of a peer that connects now, from its Version, and the ``services`` of ours."""
    return PeerInfo(
        id=version.id,
        address=link.address,
        direction=link.direction,
        via=link.via,
        user_agent=version.user_agent,
        protocol_version=version.protocol_version,
        network=version.network,
        services=version.services,
        connected_at=anyio.current_time(),
        address_network=link.network,
        onions=bool(version.services & services & ONION_SERVICES),
        tunnel=link.tunnel,
    )
