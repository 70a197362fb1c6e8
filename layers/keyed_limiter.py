"""Permits for each host, network or other key."""

from __future__ import annotations

from collections.abc import Hashable
from typing import cast

from ziggurat.layers.keys import Key, by_host, name_of
from ziggurat.layers.limiter import Limiter
from ziggurat.services.uri import Uri
from ziggurat.services.validation import check_count

__all__ = ["KeyedLimiter"]


class KeyedLimiter:
    """A number of permits for each key, e.g. for each host. Keys without a holder take no memory.

    Args:
        total: how many permits each key has; at least 1.
        key: a function of the Uri that returns the key: `by_host`, `by_network`, `by_authority` or your own.

    Raises:
        TypeError, ValueError: an argument is wrong.
    """

    __slots__ = ("_key", "_limiters", "_total")

    def __init__(self, total: int, *, key: Key = by_host) -> None:
        check_count("total", total, optional=False)
        if not callable(cast(object, key)):
            raise TypeError(f"key must be a function of the Uri, not {key!r}")
        self._total = total
        self._key = key
        self._limiters: dict[Hashable, _KeyLimiter] = {}

    @property
    def total(self) -> int:
        """How many permits each key has."""
        return self._total

    @property
    def held(self) -> int:
        """How many permits are given out, of all keys."""
        return sum(limiter.held for limiter in self._limiters.values())

    @property
    def keys(self) -> int:
        """How many keys have a holder."""
        return len(self._limiters)

    def of(self, uri: Uri) -> Limiter:
        """Return the permits of the key of ``uri``. Use what it returns before the next ``await``."""
        key = self._key(uri)
        limiter = self._limiters.get(key)
        return _KeyLimiter(self._total, self._limiters, key) if limiter is None else limiter

    def __repr__(self) -> str:
        return f"KeyedLimiter(total={self._total}, key={name_of(self._key)}, keys={self.keys})"


class _KeyLimiter(Limiter):
    """The permits of one key; it is in the table while one is held."""

    __slots__ = ("_own_key", "_table")

    def __init__(self, total: int, table: dict[Hashable, _KeyLimiter], key: Hashable) -> None:
        super().__init__(total)
        self._table = table
        self._own_key = key

    def acquire_nowait(self) -> bool:
        taken = super().acquire_nowait()
        if taken:
            self._table[self._own_key] = self
        return taken

    async def acquire(self) -> None:
        try:
            await super().acquire()
        except BaseException:
            self._leave()  # cancelled with the permit just handed over, which went back
            raise

    def release(self) -> None:
        super().release()
        self._leave()

    def _leave(self) -> None:
        if self.held == 0:
            self._table.pop(self._own_key, None)
