"""What peers announce: blocks and transactions. A node without a chain asks for none of them; it tells who listens."""

from __future__ import annotations

from collections.abc import Callable

from ziggurat.node.peer import BlockAnnounced, Event, Router, TransactionsAnnounced
from ziggurat.node.wire import inv_relay_block_from_wire, inv_transactions_from_wire

__all__ = ["Inventories"]

CAPACITY = 256
"""Announcements that may wait; more are dropped, as at kaspad: there will be others."""


class Inventories:
    """Turns announcements into events. A malformed one costs the connection."""

    types = ("invRelayBlock", "invTransactions")

    def __init__(self, router: Router, publish: Callable[[Event], None]) -> None:
        self._router = router
        self._publish = publish
        free = (name for name in self.types if not router.is_subscribed(name))  # a user's flow may take one of the two
        self._route = router.subscribe(*free, capacity=CAPACITY, when_full="drop")

    async def run(self) -> None:
        async for message in self._route:
            peer = self._router.info
            if message.HasField("invRelayBlock"):
                self._publish(BlockAnnounced(peer, inv_relay_block_from_wire(message.invRelayBlock)))
            else:
                self._publish(TransactionsAnnounced(peer, inv_transactions_from_wire(message.invTransactions)))
