"""Header fields to header blocks (HPACK, RFC 7541), with a memory for what is sent again.

The fields of a method's calls hardly change, so a block is made once for each `HeaderTemplate`. For that to stay valid
the dynamic table only grows: what is in it stays, and when it is full the rest goes as literals. A caller's own field
is entered when it comes for the second time. Values are not compressed by Huffman's code: hpack's encoder takes time
that grows with the square of a value's length.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ziggurat.services.http2.header_section import Fields
from ziggurat.services.http2.header_table import STATIC_TABLE
from ziggurat.services.http2.settings import DEFAULT_TABLE_SIZE

__all__ = ["HeaderTemplate", "HeaderWriter"]

NEVER_INDEXED: Final = frozenset((b"authorization", b"proxy-authorization", b"cookie"))
"""Secrets, which a table shared with other fields could give away by the size of a block (RFC 7541 7.1.3)."""

STATIC_FIELDS: Final = {field: index for index, field in enumerate(STATIC_TABLE, 1)}
STATIC_NAMES: Final = {field[0]: index for index, field in reversed(list(enumerate(STATIC_TABLE, 1)))}
STATIC_SIZE: Final = len(STATIC_TABLE)

ONE_BYTE: Final = [bytes((value,)) for value in range(256)]

REMEMBERED_BLOCKS: Final = 512
SEEN_ONCE: Final = 64
"""Fields seen once of which it is known, so that the second time is noticed."""

LARGEST_SEEN: Final = 1024
"""Bytes of a value beyond which it is not entered into a table of 4096 bytes."""


class HeaderTemplate:
    """Fields that many sections begin with, such as those of each call of one method.

    Args:
        fields: pseudo-header fields first; names in lower case.
    """

    __slots__ = ("fields",)

    def __init__(self, fields: Iterable[tuple[bytes, bytes]]) -> None:
        self.fields: Fields = tuple(fields)


class HeaderWriter:
    """The encoder of one connection.

    Attributes:
        known: the blocks of templates as they are now, without other fields; it always is this object.
    """

    def __init__(self) -> None:
        self.known: dict[HeaderTemplate, bytes] = {}
        self._limit = DEFAULT_TABLE_SIZE
        self._prefix = b""  # of the next block: a new size of the table (RFC 7541 4.2)
        self._clear()

    def _clear(self) -> None:
        self._entries: dict[tuple[bytes, bytes], int] = {}  # by how many came before it
        self._free = self._limit
        self.known.clear()
        self._seen: dict[tuple[bytes, bytes], None] = {}

    def resize(self, limit: int) -> None:
        """Take up the peer's SETTINGS_HEADER_TABLE_SIZE. More than 4096 bytes are never used."""
        limit = min(limit, DEFAULT_TABLE_SIZE)
        if limit != self._limit:
            self._limit = limit
            self._clear()
            # 0 in between empties the peer's table, which ours is now, too.
            self._prefix = _integer(0, 5, 0x20) + (_integer(limit, 5, 0x20) if limit else b"")

    def write(
        self,
        template: HeaderTemplate,
        own: Iterable[tuple[bytes, bytes]] = (),
        fresh: Iterable[tuple[bytes, bytes]] = (),
    ) -> bytes:
        """Return the block of a section, which must be sent: the peer's table follows it.

        Args:
            template: the first fields.
            own: fields behind them, which may come again.
            fresh: fields whose values will not come again, such as a time.
        """
        block = self.known.get(template)
        if block is None:
            block = self._from_template(template)
        if own or fresh:
            parts = [block]
            parts += [_literal(name, value) for name, value in fresh]
            parts += [self._own(field) for field in own]
            block = b"".join(parts)
        if self._prefix:
            block, self._prefix = self._prefix + block, b""
        return block

    def _from_template(self, template: HeaderTemplate) -> bytes:
        entries = len(self._entries)
        block = b"".join([self._indexed(field) for field in template.fields])
        # Not with new entries: next time they will be found in the table.
        if entries == len(self._entries):
            if len(self.known) >= REMEMBERED_BLOCKS:
                self.known.clear()
            self.known[template] = block
        return block

    def _indexed(self, field: tuple[bytes, bytes]) -> bytes:
        """A field out of a table, or else one that is entered (RFC 7541 6.1, 6.2.1)."""
        index = STATIC_FIELDS.get(field)
        if index is not None:
            return _integer(index, 7, 0x80)
        before = self._entries.get(field)
        if before is not None:
            return _integer(STATIC_SIZE + len(self._entries) - before, 7, 0x80)
        name, value = field
        size = len(name) + len(value) + 32
        if size > self._free or name in NEVER_INDEXED:
            return _literal(name, value)
        self._free -= size
        self._entries[field] = len(self._entries)
        self.known.clear()  # all indices of the dynamic table have moved on by one
        return _with_name(name, 6, 0x40) + _string(value)

    def _own(self, field: tuple[bytes, bytes]) -> bytes:
        if field in self._entries:
            return self._indexed(field)
        seen = self._seen
        if field in seen:
            del seen[field]
            return self._indexed(field)
        if len(field[1]) <= LARGEST_SEEN:
            if len(seen) >= SEEN_ONCE:
                seen.clear()
            seen[field] = None
        return _literal(*field)


def _literal(name: bytes, value: bytes) -> bytes:
    """A field that no table takes up (RFC 7541 6.2.2); a secret, that none on the way may (6.2.3)."""
    return _with_name(name, 4, 0x10 if name in NEVER_INDEXED else 0) + _string(value)


def _with_name(name: bytes, bits: int, first: int) -> bytes:
    index = STATIC_NAMES.get(name)
    return bytes((first,)) + _string(name) if index is None else _integer(index, bits, first)


def _string(text: bytes) -> bytes:
    size = len(text)
    return (ONE_BYTE[size] if size < 0x7F else _integer(size, 7, 0)) + text


def _integer(value: int, bits: int, first: int) -> bytes:
    """RFC 7541 5.1; ``first`` holds the bits in front."""
    most = (1 << bits) - 1
    if value < most:
        return ONE_BYTE[first | value]
    encoded = bytearray((first | most,))
    value -= most
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
