"""Two ways to count dials in a time, for all of them together or for each key.

A **token bucket** refills steadily: after a burst there is one dial each ``per / count`` seconds, and in any ``t``
seconds there are at most ``burst + count * t / per``. A **fixed window** lets ``count`` through as fast as they come,
and then none until it ends; two windows may meet, so that ``2 * count`` follow one another. It is for limits that the
other side counts in the same way.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import cast

from ziggurat.layers.keys import Key, name_of
from ziggurat.layers.rate_limit.gate import Gate, Meter
from ziggurat.layers.rate_limit.window import Window
from ziggurat.layers.tokens import Tokens
from ziggurat.services.uri import Uri
from ziggurat.services.validation import check_count, check_number, check_seconds

__all__ = ["FixedWindow", "Rate", "TokenBucket"]


class Rate:
    """The base of `TokenBucket` and `FixedWindow`. Stacks that are given the same object share it.

    A key that has not been used for so long that it would start anew is forgotten.

    Attributes:
        text: what it allows, for errors.
    """

    __slots__ = ("_gates", "_key", "text")

    def __init__(self, text: str, key: Key | None) -> None:
        if key is not None and not callable(cast(object, key)):
            raise TypeError(f"key must be a function of the Uri or None, not {key!r}")
        self.text = text
        self._key = key
        self._gates: OrderedDict[Hashable, Gate] = OrderedDict()

    @property
    def keys(self) -> int:
        """How many keys are remembered."""
        return len(self._gates)

    @property
    def waiting(self) -> int:
        """How many dials wait, of all keys."""
        return sum(gate.waiting for gate in self._gates.values())

    def gate(self, uri: Uri) -> Gate:
        """Return what a dial to ``uri`` has to pass. Use it before the next ``await``."""
        key = None if self._key is None else self._key(uri)
        gate = self._gates.get(key)
        if gate is None:
            self._forget()
            gate = self._gates[key] = Gate(self._meter())
        return gate

    def _forget(self) -> None:
        # For each new key two old ones are looked at, so that all are, in turn, and the number stays bounded.
        for _ in range(min(2, len(self._gates))):
            key, gate = self._gates.popitem(last=False)
            if not gate.idle:
                self._gates[key] = gate

    def _meter(self) -> Meter:
        raise NotImplementedError

    def __repr__(self) -> str:
        key = "" if self._key is None else f", key={name_of(self._key)}"
        return f"{type(self).__name__}({self.text}{key})"


class TokenBucket(Rate):
    """At most ``count`` dials in ``per`` seconds on average, and bursts up to ``burst``. It starts full.

    Args:
        count: how many dials; may be a fraction.
        per: in how many seconds.
        burst: how many at once; ``None`` for ``count``, and at least 1.
        key: a function of the Uri, for a rate of its own for each key: `by_host`, `by_network`, `by_authority` or your
            own; ``None`` for one rate in all.

    Raises:
        TypeError, ValueError: an argument is wrong.
    """

    __slots__ = ("_burst", "_per_second")

    def __init__(self, count: float, per: float = 1.0, *, burst: float | None = None, key: Key | None = None) -> None:
        check_number("count", count)
        if count == 0:
            raise ValueError("count must be above 0")
        check_seconds("per", per, optional=False)
        if burst is not None:
            check_number("burst", burst, minimum=1)
        self._burst = max(1.0, count) if burst is None else burst
        self._per_second = count / per
        shown = "" if burst is None else f", bursts of {burst:g}"
        super().__init__(f"{count:g} per {per:g} s{shown}", key)

    def _meter(self) -> Meter:
        return Tokens(self._burst, self._per_second)


class FixedWindow(Rate):
    """At most ``count`` dials in each window; a window starts with the first dial after the end of the one before.

    Args:
        count: how many dials; at least 1.
        per: the length of a window, in seconds.
        key: a function of the Uri, for windows of its own for each key; ``None`` for one in all.

    Raises:
        TypeError, ValueError: an argument is wrong.
    """

    __slots__ = ("_count", "_per")

    def __init__(self, count: int, per: float = 1.0, *, key: Key | None = None) -> None:
        check_count("count", count, optional=False)
        check_seconds("per", per, optional=False)
        self._count = count
        self._per = per
        super().__init__(f"{count} per {per:g} s", key)

    def _meter(self) -> Meter:
        return Window(self._count, self._per)
