from __future__ import annotations

import pytest

from ziggurat.layers.balance.load import FLOOR, PeakEwma, PendingLoad


def test_pending_counts_dials_and_streams() -> None:
    meter = PendingLoad().meter()
    meter.measured(9.0, 1.0)
    meter.abandoned(9.0, 1.0)
    assert meter.cost(3, 0.0, 2.0) < meter.cost(4, 0.0, 2.0)
    assert PendingLoad() == PendingLoad()


def test_a_peak_counts_at_once_and_falls_slowly() -> None:
    meter = PeakEwma(decay=10.0).meter()
    meter.measured(0.1, 0.0)
    assert meter.cost(0, 0.0, 0.0) == pytest.approx(0.1)
    meter.measured(2.0, 1.0)
    assert meter.cost(0, 0.0, 1.0) == pytest.approx(2.0)
    meter.measured(0.1, 2.0)
    assert 1.7 < meter.cost(0, 0.0, 2.0) < 2.0
    for second in range(3, 60):
        meter.measured(0.1, float(second))
    assert meter.cost(0, 0.0, 59.0) == pytest.approx(0.1, rel=0.1)


def test_without_news_the_estimate_decays_so_that_a_slow_endpoint_is_tried_again() -> None:
    meter = PeakEwma(decay=10.0).meter()
    meter.measured(1.0, 0.0)
    assert meter.cost(0, 0.0, 10.0) == pytest.approx(0.3679, abs=1e-4)
    assert meter.cost(0, 0.0, 20.0) == pytest.approx(0.1353, abs=1e-4)  # asking changes nothing: the decay compounds
    assert meter.cost(0, 0.0, 1e6) == FLOOR


def test_the_cost_grows_with_what_is_pending() -> None:
    meter = PeakEwma().meter()
    meter.measured(0.5, 0.0)
    assert [meter.cost(pending, 0.0, 0.0) for pending in range(3)] == pytest.approx([0.5, 1.0, 1.5])


def test_an_endpoint_without_a_measurement_is_tried_once_and_then_spared_until_there_is_one() -> None:
    """finagle's penalty: or every program's first dials would flood an endpoint that has just appeared."""
    new, slow = PeakEwma().meter(), PeakEwma().meter()
    slow.measured(60.0, 0.0)
    assert new.cost(0, 0.0, 0.0) < slow.cost(0, 0.0, 0.0)
    assert new.cost(1, 0.0, 0.0) > slow.cost(5, 0.0, 0.0)
    assert new.cost(1, 0.0, 0.0) < new.cost(2, 0.0, 0.0)


def test_a_dial_that_still_runs_counts_with_the_time_it_has_taken() -> None:
    meter = PeakEwma().meter()
    meter.measured(0.01, 0.0)
    assert meter.cost(1, 5.0, 5.0) == pytest.approx(10.0)


def test_streams_count_even_if_dials_take_no_time() -> None:
    """A unix socket, or an average that has decayed to nothing."""
    meter = PeakEwma().meter()
    meter.measured(0.0, 0.0)
    assert meter.cost(0, 0.0, 0.0) < meter.cost(1, 0.0, 0.0) < meter.cost(2, 0.0, 1e9)


def test_a_cancelled_dial_counts_only_if_it_took_longer_than_expected() -> None:
    meter = PeakEwma().meter()
    meter.measured(1.0, 0.0)
    meter.abandoned(0.2, 0.0)
    assert meter.cost(0, 0.0, 0.0) == pytest.approx(1.0)
    meter.abandoned(5.0, 0.0)
    assert meter.cost(0, 0.0, 0.0) == pytest.approx(5.0)
    fresh = PeakEwma().meter()
    fresh.abandoned(3.0, 0.0)
    assert fresh.cost(0, 0.0, 0.0) == pytest.approx(3.0)


@pytest.mark.parametrize("decay", [0.0, -1.0, None, True, float("inf")])
def test_a_wrong_decay_is_refused(decay: float) -> None:
    with pytest.raises((TypeError, ValueError), match="decay must be"):
        PeakEwma(decay)
