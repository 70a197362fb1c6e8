"""Checks of configuration: each error names the argument and quotes its value."""

from __future__ import annotations

import math
from typing import cast

__all__ = ["check_bool", "check_count", "check_number", "check_seconds"]


def check_seconds(
    name: str, value: float | None, *, maximum: float = math.inf, zero: bool = False, optional: bool = True
) -> None:
    """Check that a duration is a positive, finite number of seconds.

    Args:
        name: the argument's name.
        value: the argument's value.
        maximum: the longest duration, in seconds.
        zero: whether 0 is allowed.
        optional: whether ``None`` is allowed.

    Raises:
        TypeError: not a number.
        ValueError: out of range.
    """
    if value is None and optional:
        return
    if type(value) is float and 0.0 < value < math.inf and value <= maximum:
        return  # the text below costs more than the check, and a dial has several limits
    limit = "" if maximum == math.inf else f" (at most {maximum})"
    rule = f"{'0 or ' if zero else ''}a positive number of seconds{limit}{' or None' if optional else ''}"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be {rule}, not {value!r}")
    if not (0 < value < math.inf or (zero and value == 0)) or value > maximum:
        raise ValueError(f"{name} must be {rule}, not {value!r}")


def check_count(
    name: str,
    value: int | None,
    *,
    minimum: int = 1,
    maximum: int | None = None,
    unit: str = "",
    optional: bool = True,
) -> None:
    """Check that a count or a size is a whole number in a range.

    Args:
        name: the argument's name.
        value: the argument's value.
        minimum: the smallest number allowed.
        maximum: the largest number allowed; ``None`` for no limit.
        unit: what is counted, e.g. ``bytes``; only for the error's text.
        optional: whether ``None`` is allowed.

    Raises:
        TypeError: not an int (a bool is not accepted either).
        ValueError: out of range.
    """
    if value is None and optional:
        return
    limits = f"at least {minimum}" if maximum is None else f"{minimum} to {maximum}"
    rule = f"a whole number{unit and f' of {unit}'} ({limits}){' or None' if optional else ''}"
    if type(value) is not int:
        raise TypeError(f"{name} must be {rule}, not {value!r}")
    if value < minimum or (maximum is not None and value > maximum):
        raise ValueError(f"{name} must be {rule}, not {value!r}")


def check_bool(name: str, value: bool) -> None:
    """Check that a switch is a bool, which catches a forgotten keyword: ``KeepAliveLayer(5, 1, 3, 20, 1)``.

    Raises:
        TypeError: not a bool.
    """
    if not isinstance(cast(object, value), bool):
        raise TypeError(f"{name} must be True or False, not {value!r}")


def check_number(name: str, value: float, *, minimum: float = 0.0) -> None:
    """Check that a number is finite and not too small.

    Args:
        name: the argument's name.
        value: the argument's value.
        minimum: the smallest number allowed.

    Raises:
        TypeError: not a number.
        ValueError: out of range.
    """
    rule = f"a number of at least {minimum:g}"
    if isinstance(value, bool) or not isinstance(cast(object, value), (int, float)):
        raise TypeError(f"{name} must be {rule}, not {value!r}")
    if not minimum <= value < math.inf:
        raise ValueError(f"{name} must be {rule}, not {value!r}")
