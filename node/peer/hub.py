"""All peers that are connected, by key, and who is told of them."""

from __future__ import annotations

import dataclasses

from ziggurat.layers.events import write_event
from ziggurat.node.peer.events import Event, EventStream, PeerConnected, PeerDisconnected
from ziggurat.node.peer.info import Direction, PeerInfo, PeerKey
from ziggurat.node.peer.router import Router
from ziggurat.node.wire.p2p_pb2 import KaspadMessage

__all__ = ["Hub"]

SAME_PEER = "the same peer is connected twice"


class Hub:
    """Peers that have come through the handshake, and reservations for those that are about to."""

    def __init__(self) -> None:
        self._routers: dict[PeerKey, Router] = {}
        self._reserved: set[tuple[PeerKey, Direction]] = set()
        self._streams: set[EventStream] = set()

    # -- peers

    def reserve(self, key: PeerKey, direction: Direction) -> bool:
        """Take the place of a peer before its handshake is done; ``False`` when it is there already, or under way.

        kaspad dials a peer twice at once when the first dial is slow: without a reservation both come through, each
        side closes one of them, and not always the same.
        """
        if key in self._routers or (key, direction) in self._reserved:
            return False
        self._reserved.add((key, direction))
        return True

    def release(self, key: PeerKey, direction: Direction) -> None:
        """Give a reservation back."""
        self._reserved.discard((key, direction))

    def add(self, router: Router, info: PeerInfo, our_id: bytes) -> bool:
        """Take up a peer; ``False`` when the connection that is there stays, and this one is closed.

        Two nodes that dialled each other at the same time have two connections: both keep the one that the smaller id
        has dialled.
        """
        key = info.key
        other = self._routers.get(key)
        if other is not None:
            ours_wins = our_id < info.id
            if (info.direction == "outbound") is not ours_wins and other.direction != info.direction:
                router.close(SAME_PEER)
                return False
            self.remove(other, SAME_PEER)
            other.close(SAME_PEER)
        router.info = info
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
        return True

    def remove(self, router: Router, reason: str) -> None:
        """Let go of a peer; one that is not there, or has been replaced, is no error."""
        info = router.info
        if info is None or self._routers.get(info.key) is not router:
            return
        del self._routers[info.key]
        info = self._now(router, info)
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
        return [self._now(router, router.info) for router in self._routers.values() if router.info is not None]

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

    @staticmethod
    def _now(router: Router, info: PeerInfo) -> PeerInfo:
        return info if router.ping is None else dataclasses.replace(info, ping=router.ping)

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
