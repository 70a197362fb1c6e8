"""The delay between failed dials."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.services.backoff import Backoff


def test_the_delay_grows_by_the_factor_up_to_the_maximum() -> None:
    backoff = Backoff(1.0, factor=2.0, jitter=0.0, maximum=5.0)
    assert [backoff.delay(n) for n in range(1, 6)] == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_the_defaults_are_those_of_grpc() -> None:
    assert Backoff() == Backoff(1.0, factor=1.6, jitter=0.2, maximum=120.0)


def test_jitter_lengthens_and_shortens_the_delay() -> None:
    assert Backoff(10.0, jitter=0.2, rng=lambda: 0.0).delay(1) == pytest.approx(8.0)
    assert Backoff(10.0, jitter=0.2, rng=lambda: 0.5).delay(1) == pytest.approx(10.0)
    assert Backoff(10.0, jitter=0.2, rng=lambda: 1.0).delay(1) == pytest.approx(12.0)


@given(st.integers(1, 10**9), st.floats(0, 1))
def test_the_delay_stays_within_its_bounds_after_any_number_of_failures(failures: int, drawn: float) -> None:
    assert 0.8 <= Backoff(rng=lambda: drawn).delay(failures) <= 144.0


@pytest.mark.parametrize(
    ("kwargs", "error"),
    [
        ({"initial": 0.0}, ValueError),
        ({"initial": -1.0}, ValueError),
        ({"initial": math.nan}, ValueError),
        ({"initial": math.inf}, ValueError),
        ({"initial": True}, TypeError),
        ({"initial": "1"}, TypeError),
        ({"factor": 0.9}, ValueError),
        ({"factor": math.inf}, ValueError),
        ({"jitter": -0.1}, ValueError),
        ({"jitter": 1.0}, ValueError),
        ({"maximum": 0.5}, ValueError),
        ({"maximum": math.inf}, ValueError),
        ({"rng": 4}, TypeError),
    ],
)
def test_the_error_names_the_wrong_argument(kwargs: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(kwargs))):
        Backoff(**kwargs)


def test_it_can_be_compared_and_hashed() -> None:
    assert Backoff(2.0) == Backoff(2.0, rng=lambda: 0.5)
    assert hash(Backoff(2.0)) == hash(Backoff(2.0))
    assert Backoff(2.0) != Backoff(3.0)
