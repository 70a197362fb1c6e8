"""Lengths of time: parsed from arguments, and shown in tables."""

from __future__ import annotations

__all__ = ["DURATION_SYNTAX", "parse_duration", "short_duration"]

DURATION_SYNTAX = "a number with s, m, h, d or w, such as 90s, 30m, 12h, 2d; or 'forever'"

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}

MAX_DIGITS = 9


def parse_duration(text: str) -> float | None:
    """Parse a duration into seconds; ``forever`` is ``None``.

    Raises:
        ValueError: the text is not one, or is zero.
    """
    if text == "forever":
        return None
    number, unit = text[:-1], text[-1:]
    if not (number.isascii() and number.isdigit()) or unit not in SECONDS:
        raise ValueError(f"{text!r} is not {DURATION_SYNTAX}")
    if len(number) > MAX_DIGITS:
        raise ValueError(f"{text!r} is too long: write 'forever'")
    if not int(number):
        raise ValueError(f"{text!r} is no time at all")
    return float(int(number) * SECONDS[unit])


def short_duration(seconds: float) -> str:
    """Return a duration in its two largest units, cut off below them, in at most 7 characters up to 27 years."""
    whole = max(0, int(seconds))
    if whole >= 86400:
        return f"{whole // 86400}d {whole // 3600 % 24:02}h"
    if whole >= 3600:
        return f"{whole // 3600}h {whole // 60 % 60:02}m"
    return f"{whole // 60}m {whole % 60:02}s" if whole >= 60 else f"{whole}s"
