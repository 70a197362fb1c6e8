from __future__ import annotations

import pytest

from ziggurat.layers.retry.budget import RetryBudget
from ziggurat.layers.retry.policy import RetryPolicy, nothing_sent
from ziggurat.services import Backoff, CircuitOpen, ConnectError, ConnectRefused, LimitExceeded, TlsError

EVEN = Backoff(1.0, factor=2.0, jitter=0.0)


def test_what_was_not_sent_and_is_transient_may_be_sent_again() -> None:
    sent = ConnectError("reset")
    sent.sent_to_target = True
    assert nothing_sent(ConnectRefused("no"))
    assert not nothing_sent(sent)
    assert not nothing_sent(TlsError("wrong certificate"))


def test_it_gives_up_after_the_last_attempt() -> None:
    policy = RetryPolicy(3, backoff=EVEN)
    error = ConnectError("no")
    assert [policy.delay([error] * n, 0.0) for n in (1, 2, 3, 4)] == [1.0, 2.0, None, None]
    assert RetryPolicy(None, backoff=EVEN).delay([error] * 5, 1e9) == 16.0


def test_a_wait_that_reaches_the_end_of_the_time_is_not_begun() -> None:
    policy = RetryPolicy(None, within=10.0, backoff=EVEN)
    assert policy.delay([ConnectError("no")], 8.9) == 1.0
    assert policy.delay([ConnectError("no")], 9.0) is None


def test_the_last_error_decides() -> None:
    policy = RetryPolicy(9, backoff=EVEN)
    assert policy.delay([ConnectError("no"), TlsError("no")], 0.0) is None
    assert RetryPolicy(9, when=lambda error: False).delay([ConnectError("no")], 0.0) is None


def test_a_limit_that_says_when_lengthens_the_wait_and_never_shortens_it() -> None:
    policy = RetryPolicy(9, backoff=EVEN)
    assert policy.delay([CircuitOpen("open", 7.5)], 0.0) == 7.5
    assert policy.delay([CircuitOpen("open", 0.5)], 0.0) == 1.0
    assert policy.delay([LimitExceeded("full")], 0.0) == 1.0


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"attempts": 0}, ValueError, r"attempts must be a whole number \(at least 1\) or None, not 0"),
        ({"within": 0.0}, ValueError, "within must be a positive number of seconds or None, not 0.0"),
        ({"backoff": 1.0}, TypeError, "backoff must be a Backoff, not 1.0"),
        ({"budget": 3}, TypeError, "budget must be a RetryBudget or None, not 3"),
        ({"when": True}, TypeError, "when must be a function of the error, not True"),
    ],
)
def test_wrong_settings_are_refused(arguments: dict[str, object], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        RetryPolicy(**arguments)  # type: ignore[arg-type]


def test_repr_shows_what_differs() -> None:
    def mine(error: ConnectError) -> bool:
        return True

    shown = repr(RetryPolicy(2, backoff=EVEN, budget=RetryBudget(5.0), when=mine))
    assert shown.startswith("RetryPolicy(attempts=2, within=None, backoff=Backoff(initial=1.0, ")
    assert "budget=RetryBudget(tokens=5, per_success=0.1, per_second=0.5)" in shown
    assert shown.endswith(f"when={mine.__qualname__})")


def test_the_ready_policy_jitters_its_waits() -> None:
    """A thousand clients that fail together do not come back together, nor on whole seconds (tower's jitter does)."""
    waits = {RetryPolicy().delay([ConnectError("no")], 0.0) for _ in range(200)}
    assert len(waits) > 190
    assert all(wait is not None and 0.1 <= wait <= 0.3 for wait in waits)
    seconds = {RetryPolicy(9, backoff=Backoff(1.0)).delay([ConnectError("no")], 0.0) for _ in range(200)}
    assert len(seconds) > 190
