"""Blocks: a header and its transactions, or the transactions alone."""

from __future__ import annotations

from dataclasses import dataclass

from ziggurat.node.wire.convert.errors import MISSING, TOO_LARGE, ConversionError
from ziggurat.node.wire.convert.header import Header, header_from_wire, header_to_wire
from ziggurat.node.wire.convert.transaction import Transaction, transaction_from_wire, transaction_to_wire
from ziggurat.node.wire.p2p_pb2 import BlockBodyMessage, BlockMessage

__all__ = ["MAX_BLOCK_BODY", "Block", "block_body_from_wire", "block_body_to_wire", "block_from_wire", "block_to_wire"]

MAX_BLOCK_BODY = 2 * 1024 * 1024
"""Bytes of the encoded message without its header. kaspad takes no larger one."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block, as it was sent: nothing here says that it is valid."""

    header: Header
    transactions: tuple[Transaction, ...] = ()


def block_from_wire(message: BlockMessage, *, runs: bool = True) -> Block:
    """Read a block.

    Args:
        message: the block.
        runs: whether the peer speaks protocol version 9 or later, see `header_from_wire`.

    Raises:
        ConversionError: the body is larger than 2 MiB, or a part is absent or malformed.
    """
    _check_size(_body_size(message))
    if not message.HasField("header"):
        raise ConversionError(MISSING)
    return Block(header_from_wire(message.header, runs=runs), tuple(map(transaction_from_wire, message.transactions)))


def block_to_wire(block: Block, *, runs: bool = True) -> BlockMessage:
    """Write a block.

    Args:
        block: the block.
        runs: whether the peer speaks protocol version 9 or later, see `header_to_wire`.

    Raises:
        ConversionError: the body comes out larger than 2 MiB, or a part is malformed.
    """
    message = BlockMessage(
        header=header_to_wire(block.header, runs=runs),
        transactions=list(map(transaction_to_wire, block.transactions)),
    )
    _check_size(_body_size(message))
    return message


def block_body_from_wire(message: BlockBodyMessage) -> tuple[Transaction, ...]:
    """Read the transactions of a block.

    Raises:
        ConversionError: the body is larger than 2 MiB, or a part is absent or malformed.
    """
    _check_size(message.ByteSize())
    return tuple(map(transaction_from_wire, message.transactions))


def block_body_to_wire(transactions: tuple[Transaction, ...]) -> BlockBodyMessage:
    """Write the transactions of a block.

    Raises:
        ConversionError: the body comes out larger than 2 MiB, or a part is malformed.
    """
    message = BlockBodyMessage(transactions=list(map(transaction_to_wire, transactions)))
    _check_size(message.ByteSize())
    return message


def _body_size(message: BlockMessage) -> int:
    return message.ByteSize() - (message.header.ByteSize() if message.HasField("header") else 0)


def _check_size(size: int) -> None:
    if size > MAX_BLOCK_BODY:
        raise ConversionError(TOO_LARGE)
