from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.node.cli.duration import parse_duration, short_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90.0), ("30m", 1800.0), ("12h", 43200.0), ("2d", 172800.0), ("1w", 604800.0), ("forever", None)],
)
def test_a_duration_is_a_number_and_a_unit(text: str, seconds: float | None) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is not a number with"),
        ("h", "is not a number with"),
        ("3600", "is not a number with"),
        ("1h30m", "is not a number with"),
        ("-1h", "is not a number with"),
        ("1.5h", "is not a number with"),
        ("1 h", "is not a number with"),
        ("٣h", "is not a number with"),
        ("1y", "is not a number with"),
        ("0h", "is no time at all"),
        ("9999999999s", "is too long: write 'forever'"),
    ],
)
def test_anything_else_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_duration(text)


@given(st.text(max_size=20))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    with suppress(ValueError):
        assert parse_duration(text) != 0


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0, "0s"),
        (-1.0, "0s"),
        (59.9, "59s"),
        (60.0, "1m 00s"),
        (3599.0, "59m 59s"),
        (3725.4, "1h 02m"),
        (86399.0, "23h 59m"),
        (200_000.0, "2d 07h"),
    ],
)
def test_a_duration_is_shown_in_its_two_largest_units(seconds: float, shown: str) -> None:
    assert short_duration(seconds) == shown
