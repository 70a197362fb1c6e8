"""Numbers that are narrower than their fields: protobuf knows 32 and 64 bits, the network also 8 and 16."""

from __future__ import annotations

from ziggurat.node.wire.convert.errors import OUT_OF_RANGE, ConversionError

__all__ = ["BLUE_WORK_BYTES", "blue_work_from_wire", "blue_work_to_wire", "unsigned"]

BLUE_WORK_BYTES = 24
"""Accumulated work is a number of 192 bits."""


def unsigned(value: int, bits: int) -> int:
    """Answer with ``value`` if it is a number of so many bits.

    Raises:
        ConversionError: it is negative or too large.
    """
    if not 0 <= value < 1 << bits:
        raise ConversionError(OUT_OF_RANGE)
    return value


def blue_work_from_wire(value: bytes) -> int:
    """Read big-endian bytes. Leading zero bytes are stripped by whoever sends, and do no harm where they are not.

    Raises:
        ConversionError: more bytes than the number has.
    """
    if len(value) > BLUE_WORK_BYTES:
        raise ConversionError("Bytes size mismatch error conversion attempted from a slice too large")
    return int.from_bytes(value, "big")


def blue_work_to_wire(value: int) -> bytes:
    """Write big-endian bytes without leading zeros; 0 is no bytes at all.

    Raises:
        ConversionError: it is negative or too large.
    """
    return unsigned(value, 8 * BLUE_WORK_BYTES).to_bytes((value.bit_length() + 7) // 8, "big")
