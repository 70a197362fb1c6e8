"""The repr of a phase shows its name, via, time and outcome."""

from __future__ import annotations

from ziggurat.services.phase import Phase


def test_the_repr_of_a_running_phase() -> None:
    entry = Phase("tcp", None, None, 0.0)

    assert (entry.outcome, entry.elapsed, entry.note) == ("running", None, None)
    assert repr(entry) == "Phase(tcp: running)"


def test_the_repr_of_a_finished_phase() -> None:
    entry = Phase("proxy.connect", "proxy:1080", 2.0, 0.5)
    entry.elapsed, entry.outcome = 1.25, "failed"

    assert repr(entry) == "Phase(proxy.connect via proxy:1080: 1.250 s, failed)"
