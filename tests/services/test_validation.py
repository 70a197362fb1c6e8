from __future__ import annotations

import math

import pytest

from ziggurat.services.validation import check_bool, check_count, check_seconds


@pytest.mark.parametrize("value", [0.001, 1, 60.0, None])
def test_seconds_are_positive_or_none(value: float | None) -> None:
    check_seconds("idle", value)


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf])
def test_seconds_that_are_no_duration_are_refused_by_name_and_value(value: float) -> None:
    with pytest.raises(ValueError, match=rf"^idle must be positive and finite or None, not {value!r}$"):
        check_seconds("idle", value)


@pytest.mark.parametrize("value", ["1", True, b"1"])
def test_seconds_of_another_type_are_refused(value: float) -> None:
    with pytest.raises(TypeError, match="idle must be a number of seconds or None"):
        check_seconds("idle", value)


def test_seconds_have_a_maximum_and_may_have_to_be_there() -> None:
    check_seconds("idle", 5.0, maximum=5.0)
    with pytest.raises(ValueError, match=r"idle must be at most 5 seconds, not 5\.1"):
        check_seconds("idle", 5.1, maximum=5.0)
    with pytest.raises(TypeError, match="idle must be a number of seconds, not None"):
        check_seconds("idle", None, optional=False)


def test_counts_are_whole_numbers_in_a_range() -> None:
    check_count("count", None)
    check_count("count", 1)
    check_count("count", 0, minimum=0)
    with pytest.raises(ValueError, match="count must be at least 1, not 0"):
        check_count("count", 0)
    with pytest.raises(ValueError, match="count must be at most 3, not 4"):
        check_count("count", 4, maximum=3)


@pytest.mark.parametrize("value", [1.0, True, "1"])
def test_counts_of_another_type_are_refused(value: int) -> None:
    with pytest.raises(TypeError, match="count must be a whole number or None"):
        check_count("count", value)
    with pytest.raises(TypeError, match="count must be a whole number, not None"):
        check_count("count", None, optional=False)


def test_switches_are_bools() -> None:
    check_bool("require", False)
    with pytest.raises(TypeError, match="require must be True or False, not 1"):
        check_bool("require", 1)  # type: ignore[arg-type]
