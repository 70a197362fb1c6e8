"""The table that the indices in a header block point into (RFC 7541 2.3): fixed fields, and the last ones entered."""

from __future__ import annotations

from typing import Final

from hpack.exceptions import InvalidTableIndexError
from hpack.table import HeaderTable as HpackTable

from ziggurat.services.http2.settings import DEFAULT_TABLE_SIZE

__all__ = ["FIELD_OVERHEAD", "STATIC_TABLE", "HeaderTable"]

Field = tuple[bytes, bytes]

STATIC_TABLE: Final[tuple[Field, ...]] = HpackTable.STATIC_TABLE
"""RFC 7541 appendix A; its first entry has the index 1."""

STATIC_SIZE: Final = len(STATIC_TABLE)

FIELD_OVERHEAD: Final = 32
"""Added to the length of name and value for the size of a field (RFC 7541 4.1)."""


class HeaderTable:
    """A decoder's table. hpack's keeps its entries in a deque, which takes 760 bytes for each connection, empty or not.

    Attributes:
        max_size: of all entries, in bytes with `FIELD_OVERHEAD`.
    """

    __slots__ = ("_entries", "_size", "max_size")

    def __init__(self) -> None:
        self.max_size = DEFAULT_TABLE_SIZE
        self._entries: list[Field] = []  # the newest last
        self._size = 0

    def __getitem__(self, index: int) -> Field:
        """Return the field with an index, which begin at 1; the newest comes right behind the fixed ones.

        Raises:
            InvalidTableIndexError: there is none.
        """
        if 0 < index <= STATIC_SIZE:
            return STATIC_TABLE[index - 1]
        age = index - STATIC_SIZE
        if 0 < age <= len(self._entries):
            return self._entries[-age]
        raise InvalidTableIndexError(f"no entry {index}")

    def add(self, field: Field) -> None:
        """Enter a field, and drop the oldest ones until there is room. One that is too large empties the table."""
        size = len(field[0]) + len(field[1]) + FIELD_OVERHEAD
        if size > self.max_size:
            self._shrink(0)
            return
        self._shrink(self.max_size - size)
        self._entries.append(field)
        self._size += size

    def resize(self, max_size: int) -> None:
        """Change the maximum size (RFC 7541 4.3)."""
        self.max_size = max_size
        self._shrink(max_size)

    def _shrink(self, size: int) -> None:
        entries, dropped = self._entries, 0
        while self._size > size:
            name, value = entries[dropped]
            self._size -= len(name) + len(value) + FIELD_OVERHEAD
            dropped += 1
        del entries[:dropped]
