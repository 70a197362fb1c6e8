"""Range checks for integers that are narrower than their protobuf fields, e.g. of 8 or 16 bits."""

from __future__ import annotations

from ziggurat.node.wire.convert.errors import OUT_OF_RANGE, ConversionError

__all__ = ["BLUE_WORK_BYTES", "blue_work_from_wire", "blue_work_to_wire", "unsigned"]

BLUE_WORK_BYTES = 24
"""Blue work, the accumulated work, has 192 bits."""


def unsigned(value: int, bits: int) -> int:
    """Return ``value`` if it is an unsigned integer of at most ``bits`` bits.

    Raises:
        ConversionError: the value is negative or too large.
    """
    if not 0 <= value < 1 << bits:
        raise ConversionError(OUT_OF_RANGE)
    return value


def blue_work_from_wire(value: bytes) -> int:
    """Convert blue work from big-endian bytes. Senders strip leading zeros, but they are accepted.

    Raises:
        ConversionError: there are more than 24 bytes.
    """
    if len(value) > BLUE_WORK_BYTES:
        raise ConversionError("Bytes size mismatch error conversion attempted from a slice too large")
    return int.from_bytes(value, "big")


def blue_work_to_wire(value: int) -> bytes:
    """Convert blue work to big-endian bytes without leading zeros; 0 is empty.

    Raises:
        ConversionError: the value is negative or has more than 192 bits.
    """
    return unsigned(value, 8 * BLUE_WORK_BYTES).to_bytes((value.bit_length() + 7) // 8, "big")
