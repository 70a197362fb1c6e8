"""A phase tells what it was, through what, and how it ended."""

from __future__ import annotations

from ziggurat.services.phase import Phase


def test_a_phase_that_runs_says_so() -> None:
    entry = Phase("tcp", None, None, 0.0)

    assert (entry.outcome, entry.elapsed, entry.note) == ("running", None, None)
    assert repr(entry) == "Phase(tcp: running)"


def test_a_phase_that_ended_says_how_and_after_how_long() -> None:
    entry = Phase("proxy.connect", "proxy:1080", 2.0, 0.5)
    entry.elapsed, entry.outcome = 1.25, "failed"

    assert repr(entry) == "Phase(proxy.connect via proxy:1080: 1.250 s, failed)"
