"""Header blocks to header sections (HPACK, RFC 7541), with a memory for blocks that come again.

A server answers call after call with the same few bytes. As long as the dynamic table has not changed, the same block
is the same section, so it is looked up rather than decoded and judged again.
"""

from __future__ import annotations

from typing import Final

from hpack.exceptions import HPACKError
from hpack.huffman_table import decode_huffman

from ziggurat.services.http2.errors import ErrorCode, RemoteProtocolError
from ziggurat.services.http2.header_section import HeaderSection
from ziggurat.services.http2.header_table import FIELD_OVERHEAD, HeaderTable
from ziggurat.services.http2.settings import DEFAULT_TABLE_SIZE

__all__ = ["HeaderReader"]

REMEMBERED_BLOCKS: Final = 64
REMEMBERED_SIZE: Final = 1024
"""Blocks that are remembered, and the largest of them in bytes: 64 KiB for a peer that sends what no other would."""

EXCESS: Final = 4
"""A list of headers beyond the limit costs the peer its stream; one beyond this many times the limit its connection.
In between, the rest of the block is walked over, since the table has to stay in step with the peer's."""

LARGEST_INTEGER: Final = 1 << 31

MAX_SIZE_UPDATES: Final = 16
"""New sizes of the table in one block. Two are enough (RFC 7541 4.2), but hpack's encoder sends all it was given."""


class HeaderReader:
    """The decoder of one connection.

    Args:
        max_list_size: of a header section, in bytes as RFC 9113 10.5.1 counts them.

    Attributes:
        known: the sections of blocks that came before, as long as the table is the same; it always is this object.
    """

    __slots__ = ("_max_list_size", "_table", "known")

    def __init__(self, max_list_size: int) -> None:
        self._max_list_size = max_list_size
        self._table = HeaderTable()
        self.known: dict[bytes, HeaderSection] = {}

    def read(self, block: bytes) -> HeaderSection:
        """Return the section in a block. One that is too large has its first fields only, and a `fault`.

        Raises:
            RemoteProtocolError: the block cannot be decoded (COMPRESSION_ERROR), or is larger than anybody needs
                (ENHANCE_YOUR_CALM).
        """
        section = self.known.get(block)
        if section is None:
            try:
                section = self._decode(block)
            except (HPACKError, IndexError) as error:
                reason = str(error) or type(error).__name__
                raise RemoteProtocolError(ErrorCode.COMPRESSION_ERROR, f"a header block: {reason}") from error
        return section

    def _decode(self, block: bytes) -> HeaderSection:
        table, limit = self._table, self._max_list_size
        fields: list[tuple[bytes, bytes]] = []
        size = position = updates = 0
        changed = False
        end = len(block)
        while position < end:
            first = block[position]
            if first & 0x80:  # indexed (RFC 7541 6.1)
                index, position = _integer(block, position, 0x7F)
                field = table[index]
            elif first & 0x40:  # literal with incremental indexing (6.2.1)
                field, position = self._literal(block, position, 0x3F)
                table.add(field)
                changed = True
            elif first & 0x20:  # a new size of the table (6.3)
                updates += 1
                if size or updates > MAX_SIZE_UPDATES:
                    raise HPACKError("a size update behind a field" if size else "too many size updates")
                new_size, position = _integer(block, position, 0x1F)
                if new_size > DEFAULT_TABLE_SIZE:
                    raise HPACKError(f"a table of {new_size} bytes")
                table.resize(new_size)
                changed = True
                continue
            else:  # literal without indexing, or never indexed (6.2.2, 6.2.3)
                field, position = self._literal(block, position, 0x0F)
            size += len(field[0]) + len(field[1]) + FIELD_OVERHEAD
            if size <= limit:
                fields.append(field)
            elif size > limit * EXCESS:
                raise RemoteProtocolError(ErrorCode.ENHANCE_YOUR_CALM, f"a list of headers of more than {size} bytes")
        fault = None if size <= limit else f"a list of headers of {size} bytes (the limit is {limit})"
        section = HeaderSection(tuple(fields), fault)
        if changed:
            self.known.clear()
        elif end <= REMEMBERED_SIZE and len(self.known) < REMEMBERED_BLOCKS:
            self.known[block] = section
        return section

    def _literal(self, block: bytes, position: int, mask: int) -> tuple[tuple[bytes, bytes], int]:
        index, position = _integer(block, position, mask)
        if index:
            name = self._table[index][0]
        else:
            name, position = _string(block, position)
        value, position = _string(block, position)
        return (name, value), position


def _integer(block: bytes, position: int, mask: int) -> tuple[int, int]:
    """Return the integer there and the position behind it (RFC 7541 5.1)."""
    value = block[position] & mask
    position += 1
    if value < mask:
        return value, position
    shift = 0
    while True:
        byte = block[position]
        position += 1
        value += (byte & 0x7F) << shift
        if value > LARGEST_INTEGER or shift > 28:
            raise HPACKError("an integer of more than 31 bits")
        if byte < 0x80:
            return value, position
        shift += 7


def _string(block: bytes, position: int) -> tuple[bytes, int]:
    """Return the string there and the position behind it (RFC 7541 5.2)."""
    compressed = block[position] & 0x80
    length, position = _integer(block, position, 0x7F)
    end = position + length
    if end > len(block):
        raise HPACKError("a string is cut off")
    text = block[position:end]
    return (decode_huffman(text) if compressed else text), end
