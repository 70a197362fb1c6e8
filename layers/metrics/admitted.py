"""A bounded number of values for a label."""

from __future__ import annotations

from collections.abc import Iterable

from ziggurat.layers.outcome import OTHER

__all__ = ["Admitted"]


class Admitted:
    """The values of a label: the first ones have their own series, and all later ones share ``other``.

    Args:
        most: how many values there may be.
        always: values that are admitted in any case, and not counted.
    """

    def __init__(self, most: int, always: Iterable[str] = ()) -> None:
        self._always = frozenset(always)
        self._most = most
        self._values: set[str] = set()

    def admit(self, value: str) -> str:
        """Return ``value``, or ``other`` if it is one too many."""
        if value in self._always or value in self._values:
            return value
        if len(self._values) >= self._most:
            return OTHER
        self._values.add(value)
        return value
