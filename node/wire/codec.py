"""Bytes to messages, with a look at them first: what nobody waits for is not read, however large it is.

Protobuf makes some thirty bytes of memory of two on the wire: an empty entry of a list. So a message of the largest
size would cost a gigabyte before anybody could say that it was not asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from google.protobuf.message import DecodeError
from grpclib.encoding.proto import ProtoCodec

from ziggurat.node.wire.p2p_pb2 import KaspadMessage

__all__ = ["MessageCodec", "MessageTooLarge", "Wanted", "read_envelope"]

Wanted: TypeAlias = Callable[[str, int], bool]
"""Of a payload's name and a response id: whether somebody waits for it."""

KIB, MIB = 1024, 1024 * 1024

MAX_ENVELOPE_FIELDS = 8
"""Of the envelope. It has a payload and two ids; a few more do no harm, and a million are an attack."""

CONTROL_SIZE = 64 * KIB
"""Bytes of a message that carries a number or some hashes."""

MAX_SIZES = {
    "addresses": MIB,  # 2500 entries have 100 KiB; who sends more is to hear of the count
    "invTransactions": 8 * MIB,  # 131072 ids have 4.6 MiB
    "requestTransactions": 8 * MIB,
    "reject": MIB,
    **dict.fromkeys(("version", "verack", "ready", "ping", "pong", "requestAddresses", "invRelayBlock"), CONTROL_SIZE),
    **dict.fromkeys(("transactionNotFound", "requestHeaders", "requestBlockLocator", "requestAntipast"), CONTROL_SIZE),
}
"""Bytes. What is not here carries blocks, or lists of them: the largest message of all is its limit."""

PAYLOAD_NAMES = {field.number: field.name for field in KaspadMessage.DESCRIPTOR.oneofs_by_name["payload"].fields}
RESPONSE_ID = KaspadMessage.DESCRIPTOR.fields_by_name["response_id"].number
VARINT, BYTES = 0, 2


class MessageTooLarge(DecodeError):
    """A message is larger than one of its type can be."""


class MessageCodec(ProtoCodec):
    """grpclib's codec for one connection.

    Attributes:
        wanted: says what is read; ``None`` reads everything.
    """

    def __init__(self) -> None:
        self.wanted: Wanted | None = None

    def decode(self, data: bytes, message_type: Any) -> Any:
        """Read a message.

        Raises:
            DecodeError: it is not protobuf, or larger than its type can be.
        """
        if len(data) <= CONTROL_SIZE:
            return super().decode(data, message_type)
        number, response_id = read_envelope(data)
        name = PAYLOAD_NAMES.get(number)
        message = KaspadMessage()
        if name is None:
            return message  # as protobuf takes a field that it does not know
        if self.wanted is not None and not self.wanted(name, response_id):
            getattr(message, name).SetInParent()
            message.response_id = response_id
            return message
        if len(data) > MAX_SIZES.get(name, len(data)):
            raise MessageTooLarge(f"a message {name} of {len(data)} bytes is larger than {MAX_SIZES[name]}")
        return super().decode(data, message_type)


def read_envelope(data: bytes) -> tuple[int, int]:
    """Return the field number of the payload and the response id, 0 where there is none, without reading the payload.

    Raises:
        DecodeError: this is no envelope, or one with too many fields.
    """
    number = response_id = at = count = 0
    while at < len(data):
        count += 1
        if count > MAX_ENVELOPE_FIELDS:
            raise DecodeError(f"more than {MAX_ENVELOPE_FIELDS} fields")
        tag, at = _varint(data, at)
        value, at = _varint(data, at)
        if tag & 7 == BYTES:
            number, at = tag >> 3, at + value
        elif tag & 7 != VARINT:
            raise DecodeError(f"wire type {tag & 7}")
        elif tag >> 3 == RESPONSE_ID:
            response_id = value & 0xFFFFFFFF
    if at != len(data):
        raise DecodeError("cut off")
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
    raise DecodeError("a number is cut off")
