"""A label takes so many values and no more."""

from __future__ import annotations

from ziggurat.layers.metrics.admitted import Admitted


def test_the_first_values_are_admitted_and_stay_so() -> None:
    admitted = Admitted(2)

    assert [admitted.admit(value) for value in ("a", "b", "c", "a", "c", "d")] == [
        "a",
        "b",
        "other",
        "a",
        "other",
        "other",
    ]


def test_known_values_take_no_place() -> None:
    admitted = Admitted(1, ["tcp", "dns"])

    assert [admitted.admit(value) for value in ("tcp", "a", "dns", "b", "tcp")] == ["tcp", "a", "dns", "other", "tcp"]
