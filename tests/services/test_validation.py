from __future__ import annotations

import math
import re

import pytest

from ziggurat.services.validation import check_bool, check_count, check_number, check_seconds


def refused(kind: type[Exception], message: str) -> pytest.RaisesExc[Exception]:
    return pytest.raises(kind, match=f"^{re.escape(message)}$")


@pytest.mark.parametrize("value", [0.001, 1, 60.0, None])
def test_seconds_are_positive_or_none(value: float | None) -> None:
    check_seconds("idle", value)


@pytest.mark.parametrize("value", [0, -1, -0.0, math.nan, math.inf, -math.inf])
def test_a_duration_out_of_range_is_refused_with_its_name_and_value(value: float) -> None:
    with refused(ValueError, f"idle must be a positive number of seconds or None, not {value!r}"):
        check_seconds("idle", value)


@pytest.mark.parametrize("value", ["1", True, b"1"])
def test_a_duration_of_another_type_is_refused(value: float) -> None:
    with refused(TypeError, f"idle must be a positive number of seconds or None, not {value!r}"):
        check_seconds("idle", value)


def test_seconds_may_have_a_maximum() -> None:
    check_seconds("idle", 5.0, maximum=5)
    with refused(ValueError, "idle must be a positive number of seconds (at most 5) or None, not 5.1"):
        check_seconds("idle", 5.1, maximum=5)


def test_seconds_may_be_required() -> None:
    with refused(TypeError, "idle must be a positive number of seconds, not None"):
        check_seconds("idle", None, optional=False)


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_zero_seconds_are_allowed_only_on_request(value: float) -> None:
    check_seconds("linger", 0, zero=True)
    with refused(ValueError, f"linger must be 0 or a positive number of seconds, not {value!r}"):
        check_seconds("linger", value, zero=True, optional=False)


@pytest.mark.parametrize("value", [0, 4])
def test_counts_are_whole_numbers_in_a_range(value: int) -> None:
    check_count("count", None)
    check_count("count", 1)
    check_count("count", 3, maximum=3)
    with refused(ValueError, f"count must be a whole number (1 to 3) or None, not {value}"):
        check_count("count", value, maximum=3)


def test_counts_need_no_maximum() -> None:
    check_count("count", 2**64)
    check_count("count", 0, minimum=0)
    with refused(ValueError, "count must be a whole number (at least 1) or None, not 0"):
        check_count("count", 0)


@pytest.mark.parametrize("value", [1.0, True, "1"])
def test_a_count_of_another_type_is_refused(value: int) -> None:
    with refused(TypeError, f"count must be a whole number (at least 1) or None, not {value!r}"):
        check_count("count", value)


def test_counts_may_be_required() -> None:
    with refused(TypeError, "count must be a whole number (at least 1), not None"):
        check_count("count", None, optional=False)


def test_a_size_is_a_count_with_a_unit() -> None:
    check_count("window", 1, unit="bytes")
    with refused(ValueError, "window must be a whole number of bytes (1 to 9), not 10"):
        check_count("window", 10, maximum=9, unit="bytes", optional=False)


def test_switches_are_bools() -> None:
    check_bool("require", False)
    with refused(TypeError, "require must be True or False, not 1"):
        check_bool("require", 1)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [0, 0.5, 3])
def test_numbers_are_finite_and_not_too_small(value: float) -> None:
    check_number("share", value)


@pytest.mark.parametrize("value", [-1, math.nan, math.inf])
def test_a_number_out_of_range_is_refused(value: float) -> None:
    with refused(ValueError, f"share must be a number of at least 0, not {value!r}"):
        check_number("share", value)


@pytest.mark.parametrize("value", [True, "1", None])
def test_a_number_of_another_type_is_refused(value: float) -> None:
    with refused(TypeError, f"share must be a number of at least 1, not {value!r}"):
        check_number("share", value, minimum=1)
