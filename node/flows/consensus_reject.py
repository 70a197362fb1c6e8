"""What needs the chain cannot be served here: the peer is told so, and let go.

Nobody asks a node that announces no blocks; who does takes us for something else. kaspad keeps no score: a Reject costs
this connection and nothing more.
"""

from __future__ import annotations

from ziggurat.node.peer import FlowError, PeerClosed, Router

__all__ = ["ConsensusReject"]


class ConsensusReject:
    """Rejects the peer at the first request for consensus data."""

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
        free = (name for name in self.types if not router.is_subscribed(name))  # a user's flow may serve some of them
        self._route = router.subscribe(*free)

    async def run(self) -> None:
        try:
            request = await self._route.receive()
        except PeerClosed:
            return
        raise FlowError(f"this node keeps no chain and cannot serve {request.WhichOneof('payload')}")
