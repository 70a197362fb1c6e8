"""Announcements of blocks and transactions. A node without a chain requests none of them; it publishes events."""

from __future__ import annotations

from collections.abc import Callable

from ziggurat.node.peer import BlockAnnounced, Event, Router, TransactionsAnnounced
from ziggurat.node.wire import InvTransactionsMessage, inv_relay_block_from_wire, inv_transactions_from_wire

__all__ = ["Inventories"]

CAPACITY = 256
"""Queued announcements. More are dropped, as in kaspad, since others will follow."""

IDS_PER_TURN = 1024
"""Transaction ids converted at once. There may be 131,072, which take a tenth of a second together."""


class Inventories:
    """Turns announcements into events. A malformed one closes the connection."""

    types = ("invRelayBlock", "invTransactions")

    def __init__(self, router: Router, publish: Callable[[Event], None]) -> None:
        self._router = router
        self._publish = publish
        free = (name for name in self.types if not router.is_subscribed(name))  # a user's flow may read one of them
        self._route = router.subscribe(*free, capacity=CAPACITY, when_full="drop")

    async def run(self) -> None:
        async for message in self._route:
            peer = self._router.info
            if message.HasField("invRelayBlock"):
                self._publish(BlockAnnounced(peer, inv_relay_block_from_wire(message.invRelayBlock)))
            else:
                self._publish(TransactionsAnnounced(peer, await self._ids(message.invTransactions)))

    async def _ids(self, message: InvTransactionsMessage) -> tuple[bytes, ...]:
        ids: list[bytes] = []
        for id in inv_transactions_from_wire(message):
            ids.append(id)
            if len(ids) % IDS_PER_TURN == 0:
                await self._router.take_turn()
        return tuple(ids)
