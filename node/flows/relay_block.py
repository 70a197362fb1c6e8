"""Download an announced block from the peer that announced it."""

from __future__ import annotations

from ziggurat.node.peer import FlowError, Router
from ziggurat.node.wire import Block, ConversionError, KaspadMessage, block_from_wire, request_relay_blocks_to_wire

__all__ = ["BLOCK_TIMEOUT", "request_block"]

BLOCK_TIMEOUT = 120.0
"""Seconds in which a peer must send a block, as in kaspad."""


async def request_block(router: Router, hash: bytes, *, timeout: float | None = BLOCK_TIMEOUT) -> Block:
    """Request a block from a peer that has announced it, and wait for it.

    Only the hash of the header is checked, not the proof of work, the signatures, or whether the transactions belong to
    the header.

    A block that arrives after the timeout, or after a cancellation, closes the connection. kaspad closes it if it does
    not have the block.

    Args:
        router: the connection to the peer.
        hash: the hash of the block, 32 bytes.
        timeout: the time limit in seconds; ``None`` waits as long as the connection lasts.

    Raises:
        FlowError: no block arrived in time, the block is a different one or malformed, or ``hash`` is not 32 bytes.
        PeerClosed: the connection is closed.
    """
    answers = router.subscribe(answers=("block",), capacity=1)  # a route for this response only, by its id
    try:
        wanted = request_relay_blocks_to_wire([hash])
        await router.send(KaspadMessage(requestRelayBlocks=wanted, request_id=answers.id))
        return _checked(await answers.receive(timeout), hash)
    except ConversionError as error:
        raise FlowError(str(error)) from error
    finally:
        router.unsubscribe(answers)


def _checked(answer: KaspadMessage, hash: bytes) -> Block:
    """Return the block in a response. Errors have kaspad's texts."""
    if (payload := answer.WhichOneof("payload")) != "block":
        raise FlowError(f"expected message type/s block but got {payload}")
    block = block_from_wire(answer.block)
    if (found := block.header.hash) != hash:
        raise FlowError(f"requested block hash {hash.hex()} but got block {found.hex()}")
    if not block.transactions:
        raise FlowError(f"sent header of {hash.hex()} where expected block with body")
    return block
