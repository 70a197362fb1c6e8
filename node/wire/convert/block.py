"""Blocks: a header and its transactions."""

from __future__ import annotations

from dataclasses import dataclass

from ziggurat.node.wire.convert.errors import MISSING, TOO_LARGE, ConversionError
from ziggurat.node.wire.convert.header import Header, header_from_wire, header_to_wire
from ziggurat.node.wire.convert.transaction import Transaction, transaction_from_wire, transaction_to_wire
from ziggurat.node.wire.p2p_pb2 import BlockMessage

__all__ = ["MAX_BLOCK_BODY", "Block", "block_from_wire", "block_to_wire"]

MAX_BLOCK_BODY = 2 * 1024 * 1024
"""Bytes of the encoded message without its header; kaspad's limit."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block as a peer sent it: its rules have not been checked.

    Attributes:
        header: the block's header.
        transactions: the block's transactions; the first one is the coinbase.
    """

    header: Header
    transactions: tuple[Transaction, ...] = ()


def block_from_wire(message: BlockMessage) -> Block:
    """Convert a block from its message.

    Raises:
        ConversionError: the body is larger than 2 MiB, or a part is absent or malformed.
    """
    _check_size(_body_size(message))
    if not message.HasField("header"):
        raise ConversionError(MISSING)
    return Block(header_from_wire(message.header), tuple(map(transaction_from_wire, message.transactions)))


def block_to_wire(block: Block) -> BlockMessage:
    """Convert a block to its message.

    Raises:
        ConversionError: the body is larger than 2 MiB, or a part is malformed.
    """
    message = BlockMessage(
        header=header_to_wire(block.header),
        transactions=list(map(transaction_to_wire, block.transactions)),
    )
    _check_size(_body_size(message))
    return message


def _body_size(message: BlockMessage) -> int:
    return message.ByteSize() - (message.header.ByteSize() if message.HasField("header") else 0)


def _check_size(size: int) -> None:
    if size > MAX_BLOCK_BODY:
        raise ConversionError(TOO_LARGE)
