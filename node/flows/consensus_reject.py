"""Rejection of requests for consensus data, which a node without a chain cannot serve.

We announce no blocks, so peers have no reason to ask. kaspad keeps no score of rejections: a Reject only ends this
connection.
"""

from __future__ import annotations

from ziggurat.node.peer import FlowError, PeerClosed, Router

__all__ = ["ConsensusReject"]


class ConsensusReject:
    """Rejects the peer on its first request for consensus data."""

    types = (
        "requestRelayBlocks",
        "requestIBDBlocks",
        "requestNextPruningPointUtxoSetChunk",
        "requestPruningPointAndItsAnticone",
        "requestNextHeaders",
        "requestPruningPointUTXOSet",
        "requestHeaders",
        "requestBlockLocator",
        "requestPruningPointProof",
        "requestIBDChainBlockLocator",
        "requestAntipast",
        "requestNextPruningPointAndItsAnticoneBlocks",
        "requestBlockBodies",
        "requestPruningPointSmtState",
        "requestNextPruningPointSmtChunk",
    )

    def __init__(self, router: Router) -> None:
        free = (name for name in self.types if not router.is_subscribed(name))  # a user's flow may serve some
        self._route = router.subscribe(*free)

    async def run(self) -> None:
        try:
            request = await self._route.receive()
        except PeerClosed:
            return
        raise FlowError(f"this node has no chain and cannot serve {request.WhichOneof('payload')}")
