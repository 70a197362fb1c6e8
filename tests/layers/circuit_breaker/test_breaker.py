from __future__ import annotations

from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ziggurat.layers.circuit_breaker.breaker import Breaker
from ziggurat.layers.keys import by_host, by_network
from ziggurat.services import Backoff, CircuitOpen, Uri

A, B = Uri.parse("http://a.test:80"), Uri.parse("http://b.test:80")
COOLDOWN = Backoff(8.0, factor=2.0, jitter=0.0, maximum=32.0)


def breaker(failures: int = 2, **arguments: Any) -> Breaker:
    return Breaker(failures, **{"cooldown": COOLDOWN, **arguments})


def fail(circuits: Breaker, times: int = 1, uri: Uri = A) -> None:
    for _ in range(times):
        circuits.admit(uri).end(False)


def refused(circuits: Breaker, uri: Uri = A) -> float | None:
    """For how long a dial is refused; ``None`` if it would be let through, which costs nothing but a probe."""
    try:
        circuits.admit(uri).end(None)
    except CircuitOpen as error:
        return error.retry_after
    return None


async def test_it_opens_after_failures_in_a_row() -> None:
    circuits = breaker(3)
    fail(circuits, 2)
    assert circuits.state(A) == "closed"
    circuits.admit(A).end(True)
    fail(circuits, 2)
    assert (circuits.state(A), refused(circuits)) == ("closed", None)
    fail(circuits)
    assert (circuits.state(A), refused(circuits)) == ("open", 8.0)


async def test_each_key_has_its_own_circuit() -> None:
    circuits = breaker()
    fail(circuits, 2)
    assert (circuits.state(A), circuits.state(B), refused(circuits, B)) == ("open", "closed", None)


async def test_the_key_may_be_a_network() -> None:
    circuits = breaker(key=by_network)
    fail(circuits, 2, Uri.parse("http://10.1.2.3:80"))
    assert circuits.state(Uri.parse("http://10.1.99.99:81")) == "open"


async def test_old_failures_do_not_count() -> None:
    circuits = breaker(2, window=10.0)
    fail(circuits)
    await anyio.sleep(11.0)
    fail(circuits)
    assert circuits.state(A) == "closed"
    fail(circuits)
    assert circuits.state(A) == "open"


async def test_one_probe_at_a_time() -> None:
    """tower-resilience #382, OpenViking #3717: all callers that met a half-open circuit were let through."""
    circuits = breaker()
    fail(circuits, 2)
    await anyio.sleep(8.0)
    probe = circuits.admit(A)
    assert circuits.state(A) == "half-open"
    for _ in range(100):
        with pytest.raises(CircuitOpen, match="a probe is under way"):
            circuits.admit(A)
    probe.end(True)
    assert (circuits.state(A), circuits.keys) == ("closed", 0)


async def test_a_failed_probe_opens_it_for_longer_up_to_the_maximum() -> None:
    circuits = breaker()
    fail(circuits, 2)
    times = []
    for _ in range(4):
        left = refused(circuits)
        assert left is not None
        times.append(left)
        await anyio.sleep(left)
        fail(circuits)
    assert times == [8.0, 16.0, 32.0, 32.0]


async def test_a_success_resets_the_cooldown() -> None:
    circuits = breaker()
    fail(circuits, 2)
    await anyio.sleep(8.0)
    circuits.admit(A).end(True)
    fail(circuits, 2)
    assert refused(circuits) == 8.0


async def test_a_probe_that_says_nothing_gives_its_place_back() -> None:
    """resilience4j #544, Polly #311: an ignored exception used the only probe up, and the circuit stayed half-open."""
    circuits = breaker()
    fail(circuits, 2)
    await anyio.sleep(8.0)
    circuits.admit(A).end(None)
    probe = circuits.admit(A)
    probe.end(True)
    assert circuits.state(A) == "closed"


async def test_a_probe_without_an_outcome_loses_its_place_and_may_still_close_it() -> None:
    """resilience4j #935, rezilience #521: stuck in half-open after a call that was never reported."""
    circuits = breaker()
    fail(circuits, 2)
    await anyio.sleep(8.0)
    slow = circuits.admit(A)
    assert refused(circuits) == 8.0
    await anyio.sleep(8.0)
    second = circuits.admit(A)
    with pytest.raises(CircuitOpen):
        circuits.admit(A)
    slow.end(True)
    assert circuits.state(A) == "closed"
    second.end(False)  # one failure of a closed circuit
    assert circuits.state(A) == "closed"


async def test_a_slow_probe_that_fails_does_not_disturb_the_next_one() -> None:
    circuits = breaker()
    fail(circuits, 2)
    await anyio.sleep(8.0)
    slow = circuits.admit(A)
    await anyio.sleep(8.0)
    second = circuits.admit(A)
    slow.end(False)
    assert refused(circuits) == 8.0
    second.end(True)
    assert circuits.state(A) == "closed"


async def test_dials_from_before_it_opened_change_nothing() -> None:
    circuits = breaker()
    early = [circuits.admit(A) for _ in range(5)]
    fail(circuits, 2)
    await anyio.sleep(4.0)
    for ticket, outcome in zip(early, [True, False, False, None, True], strict=True):
        ticket.end(outcome)
    assert refused(circuits) == 4.0


async def test_only_the_first_outcome_counts() -> None:
    circuits = breaker(2)
    ticket = circuits.admit(A)
    ticket.end(False)
    ticket.end(False)
    assert circuits.state(A) == "closed"


async def test_a_key_that_failed_once_is_forgotten() -> None:
    circuits = breaker(5, window=4.0)
    most = 0
    for number in range(500):
        fail(circuits, 1, Uri("http", f"{number}.test", 80))
        most = max(most, circuits.keys)
        await anyio.sleep(0.25)
    assert most < 50


async def test_a_key_that_succeeds_takes_no_memory() -> None:
    circuits = breaker()
    for number in range(10):
        circuits.admit(Uri("http", f"{number}.test", 80)).end(True)
    assert circuits.keys == 0


def test_another_event_loop_starts_anew() -> None:
    circuits = breaker()

    async def use() -> str:
        before = refused(circuits)
        fail(circuits, 2)
        return f"{before} {circuits.state(A)}"

    assert anyio.run(use) == "None open"
    assert anyio.run(use, backend="trio") == "None open"


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 24), st.sampled_from([True, False, None]), st.integers(0, 24)), max_size=30))
async def test_there_is_never_more_than_one_probe_and_never_an_end(plan: list[tuple[int, bool | None, int]]) -> None:
    circuits = breaker(1)
    fail(circuits)
    waits: list[float | None] = []

    async def play(start: int, outcome: bool | None, duration: int) -> None:
        await anyio.sleep(start)
        try:
            ticket = circuits.admit(A)
        except CircuitOpen as error:
            waits.append(error.retry_after)
            return
        if ticket.probe:
            assert circuits._circuits[A.authority].probe is ticket
        await anyio.sleep(duration)
        ticket.end(outcome)

    async with anyio.create_task_group() as tasks:
        for step in plan:
            tasks.start_soon(play, *step)
    assert all(wait is not None and 0 < wait <= COOLDOWN.maximum for wait in waits)
    await anyio.sleep(100.0)
    circuits.admit(A).end(True)  # whatever happened, in the end it can be closed
    assert circuits.state(A) == "closed"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"failures": 0}, r"failures must be a whole number \(at least 1\), not 0"),
        ({"window": 0}, "window must be a positive number of seconds, not 0"),
        ({"cooldown": 30.0}, "cooldown must be a Backoff or None, not 30.0"),
        ({"key": "host"}, "key must be a function, not 'host'"),
        ({"fault": None}, "fault must be a function, not None"),
    ],
)
def test_wrong_settings_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        Breaker(**arguments)


def test_repr_shows_the_settings() -> None:
    assert repr(breaker(key=by_host)) == f"Breaker(failures=2, window=60, cooldown={COOLDOWN}, key=by_host)"
