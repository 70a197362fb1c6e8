"""What a node tells of its peers' networks, tunnels and circuits, to its user and in its log.

Circuits come from Tor's control port, by the source port of a peer's connection to the SOCKS port. They are read, never
changed. A path is told only to who asks on the control socket: the log has the circuit's number, which means nothing
outside of this run of Tor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import anyio

from ziggurat.node.address import AddressNetwork
from ziggurat.node.config import Ways
from ziggurat.node.peer import PeerInfo
from ziggurat.node.tor import Circuit, TorError, TorLink

__all__ = ["PeerCircuits", "networks_record"]

PATHS_TIMEOUT = 2.0
"""Seconds for Tor to tell its circuits. It does so at once, or it is too busy to wait for."""

NO_CONTROLLER = "no control port"

AWAY = "Tor is away"

NO_SOURCE = "no source port"
"""The SOCKS port is a unix socket, on which all programs look alike."""

NOT_TOLD = "not known to Tor"
"""It is another Tor, no Tor at all, behind a NAT that changes ports, or the dial was before the control connection."""


class PeerCircuits:
    """The circuits of a node's peers.

    Args:
        link: the link to Tor's control port; ``None`` without one.
    """

    def __init__(self, link: TorLink | None = None) -> None:
        self._link = link

    def circuit_of(self, peer: PeerInfo) -> str | None:
        """Return the id of a peer's circuit; ``None`` if it has none, or it is not known."""
        link, tunnel = self._link, peer.tunnel
        if link is None or not link.connected or tunnel is None or tunnel.source_port is None:
            return None
        uri = peer.address.uri()
        return link.streams.circuit_of(tunnel.source_port, f"{uri.host}:{uri.port}")

    def unknown(self, peer: PeerInfo) -> str | None:
        """Return why a peer's circuit is not known, in words; ``None`` if it is, and for a peer that needs none."""
        if peer.tunnel is None or self.circuit_of(peer) is not None:
            return None
        if self._link is None:
            return NO_CONTROLLER
        if not self._link.connected:
            return AWAY
        return NO_SOURCE if peer.tunnel.source_port is None else NOT_TOLD

    async def paths(self) -> Mapping[str, Circuit]:
        """Ask Tor for its circuits; none if it does not tell them within `PATHS_TIMEOUT`."""
        if self._link is not None and self._link.connected:
            with anyio.move_on_after(PATHS_TIMEOUT):
                try:
                    return await self._link.circuits()
                except TorError:
                    pass  # the column says so
        return {}

    def record(self, peer: PeerInfo, paths: Mapping[str, Circuit]) -> dict[str, object]:
        """Return what ``ziggurat peers --json`` says of a peer: ``isolation``, ``circuit``, ``circuit_unknown``."""
        number = self.circuit_of(peer)
        circuit = None if number is None else paths.get(number)
        path = (
            None if circuit is None else [{"fingerprint": r.fingerprint, "nickname": r.nickname} for r in circuit.path]
        )
        return {
            "isolation": None if peer.tunnel is None else peer.tunnel.isolation,
            "circuit": None if number is None else {"id": number, "path": path},
            "circuit_unknown": self.unknown(peer),
        }

    def tunnels(self, peers: Sequence[PeerInfo]) -> list[dict[str, object]]:
        """Return what ``node.status`` says of the peers that were dialled through a proxy."""
        return [
            {
                "peer": str(peer.address),
                "network": str(peer.address_network),
                "circuit": self.circuit_of(peer),
                "isolation": peer.tunnel.isolation,
            }
            for peer in peers
            if peer.tunnel is not None
        ]


def networks_record(ways: Ways, peers: Sequence[PeerInfo]) -> dict[str, dict[str, object]]:
    """Return what ``node.status`` says of each network: its way, whether dials are isolated, and its peers."""
    return {str(network): _network(ways, network, peers) for network in AddressNetwork}


def _network(ways: Ways, network: AddressNetwork, peers: Sequence[PeerInfo]) -> dict[str, object]:
    way = ways.of_network(network)
    inside = [peer.direction for peer in peers if peer.address_network is network]
    return {
        "way": way.kind,
        "via": way.via,
        "randomized": ways.randomizes(way),
        "outbound": inside.count("outbound"),
        "inbound": inside.count("inbound"),
    }
