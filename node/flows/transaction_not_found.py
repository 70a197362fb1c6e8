"""Requests for transactions. A node without a mempool answers each id with "not found"."""

from __future__ import annotations

from ziggurat.node.peer import Router
from ziggurat.node.wire import KaspadMessage, request_transactions_from_wire, transaction_not_found_to_wire

__all__ = ["TransactionNotFound"]


class TransactionNotFound:
    """Answers each id, in the order of the request. A request for more than 131072 ids is rejected."""

    types = ("requestTransactions",)

    def __init__(self, router: Router) -> None:
        self._router = router
        self._route = router.subscribe(*self.types)

    async def run(self) -> None:
        async for request in self._route:
            for transaction_id in request_transactions_from_wire(request.requestTransactions):
                reply = KaspadMessage(transactionNotFound=transaction_not_found_to_wire(transaction_id))
                await self._router.answer(request, reply)
