"""What a message takes once it is decoded, read from its bytes before it is decoded.

An empty entry of a list has two bytes on the wire and up to 140 in memory, so the size of a message says little. Here
its fields are walked without building anything, with the schema at hand: entries of repeated fields are counted, and
the memory of the objects is added up. The estimate errs on the high side, for the ``upb`` runtime of protobuf.

Long lists of equally large hashes, and of empty entries, are counted column by column with slices, not one by one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from google.protobuf.message import DecodeError

from ziggurat.node.wire.p2p_pb2 import KaspadMessage

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, FieldDescriptor

__all__ = ["MESSAGE_COST", "WORST_FACTOR", "Tally", "TooManyEntries", "read_varint", "skip_field", "tally"]

MESSAGE_COST = 512
"""Bytes of an empty message with its arena."""

WORST_FACTOR = 72
"""Bytes in memory for a byte on the wire, at most: an empty header in a list takes 144."""

OBJECT, SLOT, LIST = 16, 16, 64
"""Bytes of an empty object, of its place in a list that grows by doubling, and of a list."""

SCALAR = 16
"""Bytes of a number in a list, for the same reason twice its size."""

UNKNOWN = 64
"""Bytes that an object takes for keeping a field that is not in the schema, beside the field's own."""

FIELD = 8
"""Bytes charged for walking over a field, which takes time if not memory."""

VARINT, FIXED_64, BYTES, GROUP, END_GROUP, FIXED_32 = range(6)


class TooManyEntries(DecodeError):
    """A message has more entries, more fields, or takes more memory than its type may."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What was counted.

    Attributes:
        entries: the elements of all repeated fields, on every level.
        fields: the fields that were walked; of equal entries in a row, only the first one is.
        cost: the memory of the decoded message in bytes, at most.
    """

    entries: int
    fields: int
    cost: int


@dataclass(slots=True)
class _Shape:
    """What matters of a message type.

    Attributes:
        size: the memory of an object in bytes, with its place in a list.
        parts: by tag, the type of a field that holds messages.
        repeated: the tags of repeated fields; numbers have one for each and one for packed ones.
        known: the tags of all other fields but ``parts``.
        plain: by length, how an object of it begins if it is all one field of bytes, as hashes are; empty for others.
    """

    size: int
    parts: dict[int, _Shape] = field(default_factory=dict[int, "_Shape"])
    repeated: set[int] = field(default_factory=set[int])
    known: set[int] = field(default_factory=set[int])
    plain: dict[int, bytes] = field(default_factory=dict[int, bytes])

    def price(self, tag: int) -> int:
        """Return what a field costs that holds no message."""
        return 0 if tag in self.known else SCALAR if tag in self.repeated else UNKNOWN


def tally(
    data: bytes, *, max_entries: float = math.inf, max_fields: float = math.inf, max_cost: float = math.inf
) -> Tally:
    """Count the entries of an encoded `KaspadMessage`, and estimate what it takes decoded.

    Args:
        data: the encoded message.
        max_entries: the largest number of entries.
        max_fields: the largest number of fields to walk, which bounds the time.
        max_cost: the largest cost in bytes.

    Raises:
        TooManyEntries: one of them is exceeded. What follows was not looked at.
        DecodeError: the data is not protobuf.
    """
    entries, fields, cost = 0, 0, MESSAGE_COST + len(data)
    shape, at, end, outer = ROOT, 0, len(data), list[tuple[_Shape, int]]()
    while at < end or outer:
        if at == end:
            shape, end = outer.pop()
            continue
        start, many, fields, repeated = at, 1, fields + 1, shape.repeated
        tag, at = (data[at], at + 1) if data[at] < 0x80 else read_varint(data, at, end)
        if tag & 7 == VARINT and at < end and data[at] < 0x80:
            at += 1
            price = shape.price(tag)
        elif tag & 7 != BYTES:
            at, walked = skip_field(data, at, end, tag & 7)
            fields += walked
            price = shape.price(tag) + FIELD * walked
        else:
            length, at = (data[at], at + 1) if at < end and data[at] < 0x80 else read_varint(data, at, end)
            if length > end - at:
                raise DecodeError("a field is longer than its message")
            part = shape.parts.get(tag)
            if part is None:
                many, price = _packed(data[at : at + length]) if tag in shape.repeated else 1, shape.price(tag)
                at += length
            elif not length or data[at : at + 2] == part.plain.get(length):
                price, stop = part.size, at + length
                many = _run(data, start, stop, at + min(length, 2), end, most=max_entries - entries + 1)
                at = start + many * (stop - start)
            else:
                outer.append((shape, end))
                shape, price, end = part, part.size, at + length
        cost += FIELD + many * price
        entries += many if tag in repeated else 0
        if entries > max_entries or fields > max_fields or cost > max_cost:
            raise TooManyEntries(_described(entries, max_entries, fields, max_fields, max_cost))
    return Tally(entries, fields, cost)


def read_varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Return the number that begins there, and where it ends.

    Raises:
        DecodeError: it goes on beyond ``end``, or has more than ten bytes.
    """
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            break
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
    raise DecodeError("a varint is truncated or too long")


def skip_field(data: bytes, at: int, end: int, kind: int) -> tuple[int, int]:
    """Return where a field ends that has no length, and the number of fields in it, if it is a group.

    Args:
        data: the encoded message.
        at: where the field's tag ends.
        end: where the message ends.
        kind: the wire type.

    Raises:
        DecodeError: it goes on beyond ``end``, or the type is unknown.
    """
    depth = walked = 0
    while True:  # once, but for groups
        if kind == VARINT:
            at = at + 1 if at < end and data[at] < 0x80 else read_varint(data, at, end)[1]
        elif kind in (FIXED_32, FIXED_64):
            at += 4 if kind == FIXED_32 else 8
        elif kind == BYTES:
            length, at = read_varint(data, at, end)
            at += length
        elif kind in (GROUP, END_GROUP):
            depth += 1 if kind == GROUP else -1
        else:
            raise DecodeError(f"unexpected wire type {kind}")
        if at > end or depth < 0:
            raise DecodeError("a field is longer than its message")
        if not depth:
            return at, walked
        walked += 1
        inner, at = read_varint(data, at, end)
        kind = inner & 7


def _packed(numbers: bytes) -> int:
    return len(numbers.translate(None, CONTINUED))  # the last byte of each is below 128


def _run(data: bytes, start: int, stop: int, compared: int, end: int, most: float) -> int:
    """Return how many entries in a row, at least one, are like the first one, which is ``data[start:stop]``.

    They are alike if the bytes up to ``compared`` are the same, and so they are equally long.
    """
    if not data.startswith(data[start:compared], stop):
        return 1
    stride = stop - start
    most = int(min(most, (end - start) // stride))
    found, step = 1, 8
    while found < most:
        step = min(step, most - found)
        at = start + found * stride
        alike = step
        for column in range(compared - start):
            those = data[at + column : at + step * stride : stride]
            alike = min(alike, step - len(those.lstrip(data[start + column : start + column + 1])))
        found += alike
        if alike < step:
            break
        step *= 8  # the bytes looked at stay in proportion to the entries found
    return found


def _described(entries: int, max_entries: float, fields: int, max_fields: float, max_cost: float) -> str:
    if entries > max_entries:
        return f"more than {max_entries} entries"
    return f"more than {max_fields} fields" if fields > max_fields else f"more than {max_cost} bytes of memory"


def _shape(kind: Descriptor, made: dict[str, _Shape]) -> _Shape:
    if kind.full_name in made:
        return made[kind.full_name]
    shape = made[kind.full_name] = _Shape(OBJECT + SLOT)
    for part in cast("list[FieldDescriptor]", kind.fields):
        repeated, tag = part.default_value == [], part.number << 3  # that default is what all protobufs agree on
        has_bytes = part.cpp_type == part.CPPTYPE_STRING
        shape.size += LIST if repeated else 16 if has_bytes else 8
        if part.message_type is not None:
            shape.parts[tag | BYTES] = _shape(part.message_type, made)
        elif not repeated:
            shape.known.add(tag | (BYTES if has_bytes else VARINT))
        if repeated:
            shape.repeated |= {tag | BYTES} if part.message_type is not None else {tag | BYTES, tag | VARINT}
    if len(kind.fields) == 1 and (only := min(shape.known, default=0)) & 7 == BYTES:
        shape.plain = {length: bytes((only, length - 2)) for length in range(2, 128)}
    return shape


CONTINUED = bytes(range(0x80, 0x100))
ROOT = _shape(KaspadMessage.DESCRIPTOR, {})
