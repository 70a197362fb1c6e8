"""Events for subscribers: peers that connect and disconnect, and what they announce."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import anyio

from ziggurat.node.address import NodeAddress
from ziggurat.node.peer.info import PeerInfo

__all__ = [
    "AddressesReceived",
    "BlockAnnounced",
    "Event",
    "EventStream",
    "PeerConnected",
    "PeerDisconnected",
    "TransactionsAnnounced",
]

CAPACITY = 4096
"""Events queued for one subscriber. Beyond them the oldest is dropped, so a slow subscriber costs bounded memory."""

MAX_QUEUED_ITEMS = 262_144
"""Transaction ids and addresses in the queued events: two of the largest inventories, some 20 MiB. `CAPACITY` alone
would allow thousands of them, which are more than ten GiB."""


@dataclass(frozen=True, slots=True)
class PeerConnected:
    """A peer has completed the handshake."""

    peer: PeerInfo


@dataclass(frozen=True, slots=True)
class PeerDisconnected:
    """A connected peer has disconnected; ``reason`` says why, in one line."""

    peer: PeerInfo
    reason: str


@dataclass(frozen=True, slots=True)
class BlockAnnounced:
    """A peer has a block; ``hash`` has 32 bytes."""

    peer: PeerInfo
    hash: bytes


@dataclass(frozen=True, slots=True)
class TransactionsAnnounced:
    """A peer has transactions; each id has 32 bytes."""

    peer: PeerInfo
    ids: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class AddressesReceived:
    """A peer has sent the addresses of other nodes."""

    peer: PeerInfo
    addresses: tuple[NodeAddress, ...]


Event: TypeAlias = PeerConnected | PeerDisconnected | BlockAnnounced | TransactionsAnnounced | AddressesReceived


class EventStream:
    """The events since this stream was created, for one subscriber: ``async for event in stream``.

    Attributes:
        dropped: the number of events lost because the subscriber was too slow.
    """

    def __init__(self, on_close: Callable[[EventStream], None], capacity: int = CAPACITY) -> None:
        self.dropped = 0
        self._on_close = on_close
        self._capacity = capacity
        self._events: deque[Event] = deque()
        self._items = 0
        self._changed = anyio.Event()
        self._closed = False

    def put(self, event: Event) -> None:
        """Add an event."""
        self._events.append(event)
        self._items += _item_count(event)
        while len(self._events) > self._capacity or (self._items > MAX_QUEUED_ITEMS and len(self._events) > 1):
            self._pop()
            self.dropped += 1
        self._changed.set()

    def close(self) -> None:
        """Stop receiving events. Those already queued can still be read."""
        self._closed = True
        self._changed.set()
        self._on_close(self)

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> Event:
        while not self._events:
            if self._closed:
                raise StopAsyncIteration
            self._changed = anyio.Event()
            await self._changed.wait()
        return self._pop()

    def _pop(self) -> Event:
        event = self._events.popleft()
        self._items -= _item_count(event)
        return event

    def __enter__(self) -> EventStream:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _item_count(event: Event) -> int:
    if isinstance(event, TransactionsAnnounced):
        return len(event.ids)
    return len(event.addresses) if isinstance(event, AddressesReceived) else 0
