"""Checks of a layer's arguments: each error names the argument and quotes the value."""

from __future__ import annotations

import math
from typing import cast

__all__ = ["check_bool", "check_count", "check_seconds"]


def check_seconds(name: str, value: float | None, *, maximum: float = math.inf, optional: bool = True) -> None:
    """A duration is a positive, finite number of seconds; ``None`` only where ``optional``.

    Raises:
        TypeError: not a number.
        ValueError: not positive, not finite, or above ``maximum``.
    """
    if value is None and optional:
        return
    or_none = " or None" if optional else ""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds{or_none}, not {value!r}")
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be positive and finite{or_none}, not {value!r}")
    if value > maximum:
        raise ValueError(f"{name} must be at most {maximum:g} seconds, not {value!r}")


def check_count(
    name: str, value: int | None, *, minimum: int = 1, maximum: int | None = None, optional: bool = True
) -> None:
    """A count is a whole number from ``minimum`` to ``maximum``; ``None`` only where ``optional``.

    Raises:
        TypeError: not an int; a bool is none.
        ValueError: out of range.
    """
    if value is None and optional:
        return
    if type(value) is not int:
        raise TypeError(f"{name} must be a whole number{' or None' if optional else ''}, not {value!r}")
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, not {value!r}")
    if maximum is not None and value > maximum:
        raise ValueError(f"{name} must be at most {maximum}, not {value!r}")


def check_bool(name: str, value: bool) -> None:
    """A switch is a bool, so that a forgotten keyword (``KeepAliveLayer(5, 1, 3, 20, 1)``) does not pass for one.

    Raises:
        TypeError: anything else.
    """
    if not isinstance(cast(object, value), bool):
        raise TypeError(f"{name} must be True or False, not {value!r}")
