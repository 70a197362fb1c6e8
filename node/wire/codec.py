"""Decoding of messages. Large ones are inspected first, and unexpected ones are not decoded.

In memory, protobuf needs some thirty bytes for an empty list entry, which takes two on the wire. Decoding an unexpected
message of the maximum size could take a gigabyte.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from google.protobuf.message import DecodeError
from grpclib.encoding.proto import ProtoCodec

from ziggurat.node.wire.p2p_pb2 import KaspadMessage

__all__ = ["MessageCodec", "MessageTooLarge", "Wanted", "read_envelope"]

Wanted: TypeAlias = Callable[[str, int], bool]
"""Returns whether a message with this payload name and response id is expected."""

KIB, MIB = 1024, 1024 * 1024

MAX_ENVELOPE_FIELDS = 8
"""Fields of the envelope: a payload, two ids, and some tolerance for unknown fields."""

CONTROL_SIZE = 64 * KIB
"""Bytes of a message that holds only a number or some hashes. Messages up to this size are always decoded."""

MAX_SIZES = {
    "addresses": MIB,  # 2500 entries take 100 KiB; a peer that sends more should get a Reject that names the count
    "invTransactions": 8 * MIB,  # 131072 ids take 4.6 MiB
    "requestTransactions": 8 * MIB,
    "reject": MIB,
    **dict.fromkeys(("version", "verack", "ready", "ping", "pong", "requestAddresses", "invRelayBlock"), CONTROL_SIZE),
    **dict.fromkeys(("transactionNotFound", "requestHeaders", "requestBlockLocator", "requestAntipast"), CONTROL_SIZE),
}
"""Bytes. Other types hold blocks, or lists of them, and are limited by the maximum message size only."""

PAYLOAD_NAMES = {field.number: field.name for field in KaspadMessage.DESCRIPTOR.oneofs_by_name["payload"].fields}
RESPONSE_ID = KaspadMessage.DESCRIPTOR.fields_by_name["response_id"].number
VARINT, BYTES = 0, 2


class MessageTooLarge(DecodeError):
    """A message exceeds the maximum size of its type."""


class MessageCodec(ProtoCodec):
    """grpclib's codec for one connection.

    Attributes:
        wanted: returns whether to decode a large message; ``None`` decodes everything.
    """

    def __init__(self) -> None:
        self.wanted: Wanted | None = None

    def decode(self, data: bytes, message_type: Any) -> Any:
        """Decode a message.

        Raises:
            DecodeError: the data is not protobuf, or exceeds the maximum size of the message type.
        """
        if len(data) <= CONTROL_SIZE:
            return super().decode(data, message_type)
        number, response_id = read_envelope(data)
        name = PAYLOAD_NAMES.get(number)
        message = KaspadMessage()
        if name is None:
            return message  # as protobuf decodes an unknown field
        if self.wanted is not None and not self.wanted(name, response_id):
            getattr(message, name).SetInParent()
            message.response_id = response_id
            return message
        if len(data) > MAX_SIZES.get(name, len(data)):
            raise MessageTooLarge(f"a {name} message of {len(data)} bytes is larger than {MAX_SIZES[name]}")
        return super().decode(data, message_type)


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
        tag, at = _varint(data, at)
        value, at = _varint(data, at)
        if tag & 7 == BYTES:
            number, at = tag >> 3, at + value
        elif tag & 7 != VARINT:
            raise DecodeError(f"unexpected wire type {tag & 7}")
        elif tag >> 3 == RESPONSE_ID:
            response_id = value & 0xFFFFFFFF
    if at != len(data):
        raise DecodeError("the message is truncated")
    return number, response_id


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
    raise DecodeError("a varint is truncated or too long")
