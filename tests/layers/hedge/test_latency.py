from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.layers.hedge.latency import LatencyQuantile


def test_there_is_no_quantile_of_too_few_dials() -> None:
    latency = LatencyQuantile(minimum=3)
    for seconds in (1.0, 2.0):
        latency.record(seconds)
    assert latency.seconds is None
    latency.record(3.0)
    assert latency.seconds == 3.0


def test_one_dial_in_twenty_is_above_it() -> None:
    latency = LatencyQuantile(0.95)
    for seconds in range(100):
        latency.record(float(seconds))
    assert latency.seconds is not None
    assert sum(seconds > latency.seconds for seconds in range(100)) == 5


def test_it_forgets_what_is_old() -> None:
    latency = LatencyQuantile(0.5, window=10, minimum=1)
    for seconds in [99.0] * 10 + [1.0] * 6:
        latency.record(seconds)
    assert latency.seconds == 1.0


@given(st.lists(st.floats(0, 100), min_size=1, max_size=40), st.floats(0.01, 0.99), st.integers(1, 10))
def test_it_is_the_quantile_of_the_window(values: list[float], quantile: float, window: int) -> None:
    latency = LatencyQuantile(quantile, window=window, minimum=1)
    for seconds in values:
        latency.record(seconds)
    kept = sorted(values[-window:])
    assert latency.seconds == kept[math.ceil(quantile * len(kept)) - 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"quantile": 95}, "quantile must be above 0.0 and below 1.0, not 95"),
        ({"quantile": 0.0}, "quantile must be above 0.0 and below 1.0, not 0.0"),
        ({"window": 0}, r"window must be a whole number \(at least 1\), not 0"),
        ({"minimum": 201}, r"minimum must be a whole number \(1 to 200\), not 201"),
    ],
)
def test_wrong_settings_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LatencyQuantile(**arguments)


def test_repr_shows_the_settings() -> None:
    assert repr(LatencyQuantile(0.9)) == "LatencyQuantile(0.9, window=200, minimum=20)"
