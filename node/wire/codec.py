"""Decoding of messages, after a look at what they would cost. Unexpected ones are not decoded.

An entry of a list may take two bytes on the wire, and seventy times as much in memory. So each type has a limit on the
entries that it may have beside one on its size, and both are checked before a message is decoded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from google.protobuf.message import DecodeError
from grpclib.encoding.proto import ProtoCodec

from ziggurat.node.wire.cost import (
    BYTES,
    MESSAGE_COST,
    VARINT,
    WORST_FACTOR,
    TooManyEntries,
    read_varint,
    skip_field,
    tally,
)
from ziggurat.node.wire.p2p_pb2 import KaspadMessage

__all__ = ["MessageCodec", "MessageTooLarge", "Wanted", "read_envelope"]

Wanted: TypeAlias = Callable[[str, int], bool]
"""Returns whether a message with this payload name and response id is expected."""

KIB, MIB = 1024, 1024 * 1024

MAX_ENVELOPE_FIELDS = 8
"""Fields of the envelope: a payload, two ids, and some tolerance for unknown fields."""

SMALL = 256
"""Bytes of a message that is always decoded, unseen: it cannot take more than 18 KiB of memory."""

MAX_COST = 64 * MIB
"""Bytes that a decoded message may take, for types that `LIMITS` says nothing of."""


@dataclass(frozen=True, slots=True)
class Limit:
    """What messages of a type may have.

    Attributes:
        size: the encoded message, in bytes.
        entries: the elements of all lists in it.
        fields: the fields, but for those of equal entries in a row. They bound the time that counting takes.
    """

    size: int
    entries: int
    fields: int = 32_768


CONTROL = Limit(64 * KIB, 2048)
"""For messages that hold only numbers, or some hashes: kaspad requests blocks in batches of 99."""

BLOCK = Limit(4 * MIB, 16_384, 65_536)
"""For blocks and transactions. The mass of a block, 500,000, pays for 10,000 of the smallest outputs."""

LIMITS = {
    "addresses": Limit(MIB, 5000),  # 2500 are allowed; a peer that sends more should get a Reject that names the count
    "invTransactions": Limit(8 * MIB, 131_072),  # 4.6 MiB
    "requestTransactions": Limit(8 * MIB, 131_072),
    "reject": Limit(MIB, 0),
    **dict.fromkeys(("block", "ibdBlock", "blockBody", "transaction"), BLOCK),
    **dict.fromkeys(("version", "verack", "ready", "ping", "pong", "requestAddresses", "invRelayBlock"), CONTROL),
    **dict.fromkeys(("requestRelayBlocks", "requestIBDBlocks", "requestBlockBodies", "requestHeaders"), CONTROL),
    **dict.fromkeys(("requestBlockLocator", "requestIBDChainBlockLocator", "requestAntipast"), CONTROL),
    **dict.fromkeys(("requestNextHeaders", "requestNextPruningPointUtxoSetChunk", "transactionNotFound"), CONTROL),
    **dict.fromkeys(("requestPruningPointUTXOSet", "requestPruningPointProof"), CONTROL),
    **dict.fromkeys(("requestPruningPointAndItsAnticone", "requestPruningPointSmtState"), CONTROL),
    **dict.fromkeys(("requestNextPruningPointAndItsAnticoneBlocks", "requestNextPruningPointSmtChunk"), CONTROL),
}
"""The limits of all types that the default flows read. Others are limited by the maximum message size and by
`MAX_COST`; they arrive only if a user's flow reads them."""


PAYLOAD_NAMES = {field.number: field.name for field in KaspadMessage.DESCRIPTOR.oneofs_by_name["payload"].fields}
RESPONSE_ID = KaspadMessage.DESCRIPTOR.fields_by_name["response_id"].number


class MessageTooLarge(DecodeError):
    """A message exceeds a limit of its type."""


class MessageCodec(ProtoCodec):
    """grpclib's codec for one connection.

    Attributes:
        wanted: returns whether to decode a message that is not small; ``None`` decodes everything.
        cost: what the last message takes in memory, in bytes, at most.
    """

    def __init__(self) -> None:
        self.wanted: Wanted | None = None
        self.cost = 0

    def decode(self, data: bytes, message_type: Any) -> Any:
        """Decode a message.

        Raises:
            MessageTooLarge: the message exceeds a limit of its type.
            DecodeError: the data is not protobuf.
        """
        if len(data) <= SMALL:
            self.cost = MESSAGE_COST + WORST_FACTOR * len(data)
            return super().decode(data, message_type)
        self.cost = MESSAGE_COST
        number, response_id = read_envelope(data)
        name = PAYLOAD_NAMES.get(number)
        message = KaspadMessage()
        if name is None:
            return message  # as protobuf decodes an unknown field
        if self.wanted is not None and not self.wanted(name, response_id):
            getattr(message, name).SetInParent()
            message.response_id = response_id
            return message
        self.cost = _checked(name, data)
        return super().decode(data, message_type)


def _checked(name: str, data: bytes) -> int:
    """Return what a message of this type takes in memory."""
    limit = LIMITS.get(name)
    if limit is not None and len(data) > limit.size:
        raise MessageTooLarge(f"a {name} message of {len(data)} bytes is larger than {limit.size}")
    try:
        if limit is None:
            return tally(data, max_cost=MAX_COST).cost
        return tally(data, max_entries=limit.entries, max_fields=limit.fields).cost
    except TooManyEntries as error:
        raise MessageTooLarge(f"a {name} message of {len(data)} bytes has {error}") from None


def read_envelope(data: bytes) -> tuple[int, int]:
    """Return the payload's field number and the response id, each 0 if absent, without decoding the payload.

    Raises:
        DecodeError: the data is not an envelope, or has too many fields.
    """
    number = response_id = at = count = 0
    while at < len(data):
        count += 1
        if count > MAX_ENVELOPE_FIELDS:
            raise DecodeError(f"the message has more than {MAX_ENVELOPE_FIELDS} fields")
        tag, at = read_varint(data, at, len(data))
        if tag & 7 == BYTES:
            size, at = read_varint(data, at, len(data))
            at += size
            number = tag >> 3 if tag >> 3 in PAYLOAD_NAMES else number or tag >> 3
        elif tag == RESPONSE_ID << 3 | VARINT:
            value, at = read_varint(data, at, len(data))
            response_id = value & 0xFFFFFFFF
        else:
            at, _ = skip_field(data, at, len(data), tag & 7)
    if at != len(data):
        raise DecodeError("the message is truncated")
    return number, response_id
