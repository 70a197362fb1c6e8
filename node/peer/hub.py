"""All connected peers, by key, and the streams of events about them."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from ziggurat.layers.events import write_event
from ziggurat.node.handshake import DUPLICATE, HandshakeError, Kind
from ziggurat.node.peer.events import Event, EventStream, PeerConnected, PeerDisconnected
from ziggurat.node.peer.info import Direction, PeerInfo, PeerKey
from ziggurat.node.peer.router import Router
from ziggurat.node.wire import KaspadMessage

__all__ = ["INBOUND_LIMIT_REACHED", "Hub"]

CONNECTED_TWICE = "the same peer is connected twice"

INBOUND_LIMIT_REACHED = "the limit of inbound peers is reached"


class Hub:
    """The connected peers, and places reserved for those in their handshake.

    Args:
        inbound_limit: how many inbound peers there may be; ``None`` for no limit.
    """

    def __init__(self, inbound_limit: int | None = None) -> None:
        self._inbound_limit = inbound_limit
        self._routers: dict[PeerKey, Router] = {}
        self._reserved: set[tuple[PeerKey, Direction]] = set()
        self._streams: set[EventStream] = set()

    # -- peers

    @property
    def is_full(self) -> bool:
        """Whether there is no room for another inbound peer."""
        return self._inbound_limit is not None and self.taken("inbound") >= self._inbound_limit

    @contextmanager
    def reserve(self, key: PeerKey, direction: Direction) -> Generator[None, None, None]:
        """Reserve a place, for the length of a ``with`` block in which the handshake ends and `add` is called.

        kaspad dials a peer twice at once when the first dial is slow: without a reservation both would succeed, each
        side would close one of them, and not always the same.

        Raises:
            HandshakeError: the peer is connected, or another handshake with it is under way in the same direction; or
                there is no room for another inbound peer.
        """
        if key in self._routers or (key, direction) in self._reserved:
            raise HandshakeError(Kind.DUPLICATE, DUPLICATE, by_peer=False)
        if direction == "inbound" and self.is_full:
            raise HandshakeError(Kind.BUSY, INBOUND_LIMIT_REACHED, by_peer=False)
        self._reserved.add((key, direction))
        try:
            yield
        finally:
            self._reserved.discard((key, direction))

    def add(self, router: Router, our_id: bytes) -> None:
        """Add a peer.

        Two nodes that dial each other at the same time have two connections: both keep the one that the smaller id
        dialled.

        Raises:
            HandshakeError: the connection that is there stays.
        """
        info = router.info
        key = info.key
        other = self._routers.get(key)
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
            via=info.via,
            user_agent=info.user_agent,
            protocol_version=info.protocol_version,
            elapsed=None if router.ledger is None else round(router.ledger.elapsed, 3),
            id=info.id.hex(),
        )
        self.publish(PeerConnected(info))

    def remove(self, router: Router, reason: str) -> None:
        """Let go of a peer; one that is not there, or has been replaced, is no error."""
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
            reason=reason,
            id=info.id.hex(),
        )
        self.publish(PeerDisconnected(info, reason))

    def get(self, key: PeerKey) -> Router | None:
        """The connection to a peer."""
        return self._routers.get(key)

    def routers(self) -> list[Router]:
        """The connections to all peers."""
        return list(self._routers.values())

    def peers(self) -> list[PeerInfo]:
        """Who is connected, the oldest first."""
        return [router.info for router in self._routers.values()]

    def count(self, direction: Direction) -> int:
        """How many peers there are of one direction."""
        return sum(router.direction == direction for router in self._routers.values())

    def taken(self, direction: Direction) -> int:
        """How many places of one direction are taken: by peers, and by reservations."""
        keys = {key for key, router in self._routers.items() if router.direction == direction}
        return len(keys | {key for key, reserved in self._reserved if reserved == direction})

    def broadcast(self, message: KaspadMessage) -> int:
        """Send to all peers; one that is behind with reading does not get it. Answers how many do."""
        return sum(router.post(message) for router in self._routers.values())

    # -- events

    def subscribe_events(self) -> EventStream:
        """Listen, from now on; close the stream, or leave it as a context manager, when you have heard enough."""
        stream = EventStream(self._streams.discard)
        self._streams.add(stream)
        return stream

    def publish(self, event: Event) -> None:
        """Tell all who listen."""
        for stream in self._streams:
            stream.put(event)

    def close(self) -> None:
        """Nothing more will happen."""
        for stream in list(self._streams):
            stream.close()
