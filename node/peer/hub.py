"""All connected peers, by key, and the streams of events about them."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from ziggurat.layers.events import write_event
from ziggurat.node.address import AddressNetwork
from ziggurat.node.handshake import DUPLICATE, HandshakeError, Kind
from ziggurat.node.peer.events import Event, EventStream, PeerConnected, PeerDisconnected
from ziggurat.node.peer.info import Direction, PeerInfo, PeerKey
from ziggurat.node.peer.router import Router
from ziggurat.node.wire import KaspadMessage

__all__ = ["INBOUND_LIMIT_REACHED", "Hub"]

CONNECTED_TWICE = "the same peer is connected twice"

CROSSED = 10.0
"""Seconds between two connections of dials that may have crossed. Of older ones both sides know."""

INBOUND_LIMIT_REACHED = "the limit of inbound peers is reached"


class Hub:
    """The connected peers, and places reserved for peers in their handshake.

    An onion service that we have dialled and an inbound peer that came in by ours have nothing in common but the id in
    their Version. A service that we dialled is known by its name, while an inbound peer may show anybody's id. So an
    inbound one is refused if we have dialled a service with its id, and it does not keep us from dialling that: if
    it is the same node, that node has dialled us, and refuses us for the same reason.

    Args:
        inbound_limit: the maximum number of inbound peers; ``None`` for no limit.
    """

    def __init__(self, inbound_limit: int | None = None) -> None:
        self._inbound_limit = inbound_limit
        self._routers: dict[PeerKey, Router] = {}
        self._reserved: set[tuple[PeerKey, Direction]] = set()
        self._dialled_twice: dict[str, bytes] = {}  # the id that an onion service showed, which was connected already
        self._streams: set[EventStream] = set()

    # -- peers

    @property
    def is_full(self) -> bool:
        """Whether there is no room for another inbound peer."""
        return self._inbound_limit is not None and self.taken("inbound") >= self._inbound_limit

    @contextmanager
    def reserve(self, key: PeerKey, direction: Direction) -> Generator[None, None, None]:
        """Reserve a place during a ``with`` block that completes the handshake and calls `add`.

        When a dial is slow, kaspad dials the same peer again. Without a reservation both dials would succeed, and each
        side would close one of the connections, not always the same one.

        Raises:
            HandshakeError: the peer is connected, another handshake with it is under way in the same direction, or
                there is no room for another inbound peer.
        """
        known = key in self._routers or (direction == "inbound" and self._other_way(key, direction) is not None)
        if known or (key, direction) in self._reserved:
            raise HandshakeError(Kind.DUPLICATE, DUPLICATE, by_peer=False)
        if direction == "inbound" and self.is_full:
            raise HandshakeError(Kind.BUSY, INBOUND_LIMIT_REACHED, by_peer=False)
        self._reserved.add((key, direction))
        try:
            yield
        except HandshakeError as error:
            by_onion = direction == "outbound" and key.network is AddressNetwork.ONION
            if by_onion and error.kind is Kind.DUPLICATE and error.by_peer:  # it knows; an id alone says nothing
                self._dialled_twice[key.host] = key.id
            raise
        finally:
            self._reserved.discard((key, direction))

    def add(self, router: Router, our_id: bytes) -> None:
        """Add a peer.

        Two nodes that dial each other at the same time get two connections. Both keep the one that was dialled by the
        node with the smaller id. Where an inbound peer with the id of an onion service has been there for longer, both
        stay: it is another node, as the same one would have refused us.

        Raises:
            HandshakeError: another connection to the peer exists and is the one to keep.
        """
        info = router.info
        key = info.key
        other = self._routers.get(key)
        if other is None and (other := self._other_way(key, info.direction)) is not None:
            other = other if info.connected_at - other.info.connected_at <= CROSSED else None
        if other is not None:
            ours_wins = our_id < info.id
            if (info.direction == "outbound") is not ours_wins and other.direction != info.direction:
                raise HandshakeError(Kind.DUPLICATE, CONNECTED_TWICE, by_peer=False, silent=True)
            self.remove(other, CONNECTED_TWICE)
            other.close(CONNECTED_TWICE)
        self._routers[key] = router
        write_event(
            None,
            "info",
            "peer.connected",
            peer=str(info.address),
            direction=info.direction,
            network=str(info.address_network),
            via=info.via,
            user_agent=info.user_agent,
            protocol_version=info.protocol_version,
            elapsed=None if router.ledger is None else round(router.ledger.elapsed, 3),
            id=info.id.hex(),
        )
        self.publish(PeerConnected(info))

    def remove(self, router: Router, reason: str) -> None:
        """Remove a peer. Does nothing if it is not here or was replaced by another connection."""
        info = router.info
        if self._routers.get(info.key) is not router:
            return
        del self._routers[info.key]
        write_event(
            None,
            "info",
            "peer.disconnected",
            peer=str(info.address),
            direction=info.direction,
            network=str(info.address_network),
            reason=reason,
            id=info.id.hex(),
        )
        self.publish(PeerDisconnected(info, reason))

    def connected_services(self) -> set[str]:
        """Return the names of onion services that need no dial: one found that their node has come in by ours."""
        inbound = {peer.id for peer in self.peers() if peer.direction == "inbound" and _is_onion(peer)}
        self._dialled_twice = {name: id for name, id in self._dialled_twice.items() if id in inbound}
        return set(self._dialled_twice)

    def get(self, key: PeerKey) -> Router | None:
        """Return the connection to a peer, or ``None``."""
        return self._routers.get(key)

    def routers(self) -> list[Router]:
        """Return the connections to all peers."""
        return list(self._routers.values())

    def peers(self) -> list[PeerInfo]:
        """Return the records of the connected peers, oldest connection first."""
        return [router.info for router in self._routers.values()]

    def count(self, direction: Direction) -> int:
        """Return the number of connected peers of one direction."""
        return sum(router.direction == direction for router in self._routers.values())

    def taken(self, direction: Direction) -> int:
        """Return the number of places taken in one direction, by peers and by reservations."""
        keys = {key for key, router in self._routers.items() if router.direction == direction}
        return len(keys | {key for key, reserved in self._reserved if reserved == direction})

    def _other_way(self, key: PeerKey, direction: Direction) -> Router | None:
        """Return the connection in the other direction to a peer of the onion network with the same id."""
        if key.network is not AddressNetwork.ONION:
            return None
        others = (other for other in self._routers.values() if other.direction != direction)
        return next(
            (each for each in others if (each.info.id, each.info.address_network) == (key.id, key.network)), None
        )

    def broadcast(self, message: KaspadMessage) -> int:
        """Queue a message for all peers, except those whose send queue is full. Return how many will get it."""
        return sum(router.post(message) for router in self._routers.values())

    # -- events

    def subscribe_events(self) -> EventStream:
        """Return a stream of the events from now on. Close it, or use it as a context manager, to unsubscribe."""
        stream = EventStream(self._streams.discard)
        self._streams.add(stream)
        return stream

    def publish(self, event: Event) -> None:
        """Pass an event to all subscribers."""
        for stream in self._streams:
            stream.put(event)

    def close(self) -> None:
        """Close all event streams."""
        for stream in list(self._streams):
            stream.close()


def _is_onion(peer: PeerInfo) -> bool:
    return peer.address_network is AddressNetwork.ONION
