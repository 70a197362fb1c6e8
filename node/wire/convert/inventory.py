"""Announcements and requests: lists of hashes with a meaning."""

from __future__ import annotations

from collections.abc import Collection, Iterable

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
"""In one message, announced or asked for; more costs the connection."""


def inv_relay_block_from_wire(message: p2p_pb2.InvRelayBlockMessage) -> bytes:
    """Read the hash of an announced block.

    Raises:
        ConversionError: it is absent or malformed.
    """
    return hash_from_wire(message.hash, present=message.HasField("hash"))


def inv_relay_block_to_wire(block: bytes) -> p2p_pb2.InvRelayBlockMessage:
    """Announce a block. kaspad then asks for it, and leaves after 120 s without an answer.

    Raises:
        ConversionError: the hash has not 32 bytes.
    """
    return p2p_pb2.InvRelayBlockMessage(hash=hash_to_wire(block))


def inv_transactions_from_wire(message: p2p_pb2.InvTransactionsMessage) -> tuple[bytes, ...]:
    """Read the ids of announced transactions.

    Raises:
        ConversionError: there are more than 131072, or one is malformed.
    """
    return _ids_from_wire(message.ids)


def request_transactions_from_wire(message: p2p_pb2.RequestTransactionsMessage) -> tuple[bytes, ...]:
    """Read which transactions a peer asks for; it expects an answer for each, in this order.

    Raises:
        ConversionError: there are more than 131072, or one is malformed.
    """
    return _ids_from_wire(message.ids)


def transaction_not_found_to_wire(transaction_id: bytes) -> p2p_pb2.TransactionNotFoundMessage:
    """Say that we have not got it.

    Raises:
        ConversionError: the id has not 32 bytes.
    """
    return p2p_pb2.TransactionNotFoundMessage(id=transaction_id_to_wire(transaction_id))


def request_relay_blocks_from_wire(message: p2p_pb2.RequestRelayBlocksMessage) -> tuple[bytes, ...]:
    """Read which blocks a peer asks for.

    Raises:
        ConversionError: a hash is malformed.
    """
    return hashes_from_wire(message.hashes)


def request_relay_blocks_to_wire(hashes: Iterable[bytes]) -> p2p_pb2.RequestRelayBlocksMessage:
    """Ask for blocks. kaspad rejects the peer for one that it has not.

    Raises:
        ConversionError: a hash has not 32 bytes.
    """
    return p2p_pb2.RequestRelayBlocksMessage(hashes=hashes_to_wire(hashes))


def _ids_from_wire(messages: Collection[p2p_pb2.TransactionId]) -> tuple[bytes, ...]:
    if len(messages) > MAX_TRANSACTION_IDS:
        raise ConversionError("Number of invs in tx inv message is over the limit")
    return tuple(map(transaction_id_from_wire, messages))
