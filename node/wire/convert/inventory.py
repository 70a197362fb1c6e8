"""Announcements and requests of blocks and transactions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from ziggurat.node.wire import p2p_pb2
from ziggurat.node.wire.convert.errors import ConversionError
from ziggurat.node.wire.convert.hashes import (
    hash_from_wire,
    hash_to_wire,
    hashes_from_wire,
    hashes_to_wire,
    transaction_id_from_wire,
    transaction_id_to_wire,
)

__all__ = [
    "MAX_TRANSACTION_IDS",
    "inv_relay_block_from_wire",
    "inv_relay_block_to_wire",
    "inv_transactions_from_wire",
    "request_relay_blocks_from_wire",
    "request_relay_blocks_to_wire",
    "request_transactions_from_wire",
    "transaction_not_found_to_wire",
]

MAX_TRANSACTION_IDS = 131072
"""Ids in one announcement or request. A message with more closes the connection."""


def inv_relay_block_from_wire(message: p2p_pb2.InvRelayBlockMessage) -> bytes:
    """Return the hash of an announced block.

    Raises:
        ConversionError: the hash is absent or malformed.
    """
    return hash_from_wire(message.hash, present=message.HasField("hash"))


def inv_relay_block_to_wire(block: bytes) -> p2p_pb2.InvRelayBlockMessage:
    """Return the announcement of a block. kaspad requests the block, and disconnects if it gets none within 120 s.

    Raises:
        ConversionError: the hash does not have 32 bytes.
    """
    return p2p_pb2.InvRelayBlockMessage(hash=hash_to_wire(block))


def inv_transactions_from_wire(message: p2p_pb2.InvTransactionsMessage) -> Iterator[bytes]:
    """Return the ids of announced transactions, each converted when it is asked for.

    Raises:
        ConversionError: there are more than 131072 ids, or one is malformed.
    """
    return _ids_from_wire(message.ids)


def request_transactions_from_wire(message: p2p_pb2.RequestTransactionsMessage) -> Iterator[bytes]:
    """Return the ids of requested transactions, each converted when it is asked for.

    The peer expects a response for each, in this order.

    Raises:
        ConversionError: there are more than 131072 ids, or one is malformed.
    """
    return _ids_from_wire(message.ids)


def transaction_not_found_to_wire(transaction_id: bytes) -> p2p_pb2.TransactionNotFoundMessage:
    """Return the response for a transaction that we do not have.

    Raises:
        ConversionError: the id does not have 32 bytes.
    """
    return p2p_pb2.TransactionNotFoundMessage(id=transaction_id_to_wire(transaction_id))


def request_relay_blocks_from_wire(message: p2p_pb2.RequestRelayBlocksMessage) -> tuple[bytes, ...]:
    """Return the hashes of requested blocks.

    Raises:
        ConversionError: a hash is malformed.
    """
    return hashes_from_wire(message.hashes)


def request_relay_blocks_to_wire(hashes: Iterable[bytes]) -> p2p_pb2.RequestRelayBlocksMessage:
    """Return a request for blocks. kaspad rejects a peer that requests a block it does not have.

    Raises:
        ConversionError: a hash does not have 32 bytes.
    """
    return p2p_pb2.RequestRelayBlocksMessage(hashes=hashes_to_wire(hashes))


def _ids_from_wire(messages: Collection[p2p_pb2.TransactionId]) -> Iterator[bytes]:
    if len(messages) > MAX_TRANSACTION_IDS:
        raise ConversionError("Number of invs in tx inv message is over the limit")
    return map(transaction_id_from_wire, messages)
