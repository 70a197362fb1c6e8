"""Checks of the functions that users give to layers, and of what these return."""

from __future__ import annotations

import inspect

__all__ = ["check_function", "name_of", "wrong_result"]


def check_function(name: str, function: object, *, instead: str | None = None) -> None:
    """Check that the argument ``name`` can be called.

    Args:
        name: the argument's name.
        function: its value.
        instead: what takes an async function; ``None`` if this argument does.

    Raises:
        TypeError: it cannot be called, or is async where it must not be.
    """
    if not callable(function):
        raise TypeError(f"{name} must be a function, not {function!r}")
    if instead is not None and inspect.iscoroutinefunction(function):
        raise TypeError(f"{name} must be a plain function, and {name_of(function)} is async: {instead} takes one")


def name_of(function: object) -> str:
    """Return a function's own name: its ``repr`` is mostly its address."""
    return str(getattr(function, "__qualname__", None) or repr(function))


def wrong_result(function: object, result: object, expected: str) -> TypeError:
    """Return the error of a function that returned something else than ``expected``."""
    if inspect.iscoroutine(result):
        result.close()  # or Python would warn that it was never awaited
    hint = " (is there a `return`?)" if result is None else ""
    return TypeError(f"{name_of(function)} returned {result!r}, not {expected}{hint}")
