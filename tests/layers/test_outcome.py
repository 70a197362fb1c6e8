"""How a dial ended: its outcome, the name of its error, and which phases are the layer's."""

from __future__ import annotations

import anyio
import pytest

from ziggurat.layers.outcome import Span, error_kind, outcome_of
from ziggurat.services.dial import dial, phase
from ziggurat.services.errors import AllFailed, ConnectError, ConnectTimeout, ProxyRefused
from ziggurat.services.ledger import Ledger
from ziggurat.services.limit import Limit
from ziggurat.services.phase import label
from ziggurat.services.uri import Uri

TARGET = Uri.parse("http://target.example")


class OfAUser(ProxyRefused):
    pass


class ConnectRefused(Exception):
    """Not ours, in spite of its name."""


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectError("x"), "ConnectError"),
        (ConnectTimeout(1.0, "x"), "ConnectTimeout"),
        (ProxyRefused("x"), "ProxyRefused"),
        (AllFailed("x", [ConnectError("y")]), "AllFailed"),
        (OfAUser("x"), "ProxyRefused"),
        (ConnectRefused(), "other"),
        (OSError(), "other"),
        (KeyboardInterrupt(), "other"),
    ],
)
def test_the_kind_of_an_error_is_one_of_a_closed_set(error: BaseException, kind: str) -> None:
    assert error_kind(error) == kind


async def ended(seconds: float | None = None) -> tuple[str, str | None]:
    """Hang until this is cancelled, by a limit or by the caller; return the outcome."""
    found: list[tuple[str, str | None]] = []

    async def hang() -> None:
        with dial(TARGET) as current:
            try:
                await anyio.sleep_forever()
            except BaseException as error:
                outcome, reason = outcome_of(error, current.ledger)
                found.append((outcome, reason and error_kind(reason)))
                raise

    with dial(TARGET):
        if seconds is None:
            with anyio.move_on_after(1.0):
                await hang()
        else:
            with pytest.raises(ConnectTimeout), Limit(seconds, "mine"):
                await hang()
    return found[0]


async def test_a_dial_that_a_limit_cut_off_has_failed() -> None:
    assert await ended(1.0) == ("failed", "ConnectTimeout")


async def test_a_dial_that_the_caller_gave_up_is_cancelled() -> None:
    assert await ended() == ("cancelled", None)


async def test_success_and_failure() -> None:
    ledger, error = Ledger(TARGET), ConnectError("x")

    assert outcome_of(None, ledger) == ("ok", None)
    assert outcome_of(error, ledger) == ("failed", error)


async def test_a_dial_that_a_calls_deadline_cut_off_has_failed() -> None:
    ledger, deadline = Ledger(TARGET), ConnectTimeout(1.0, "call deadline")
    ledger.give_up(deadline)
    cancelled: BaseException | None = None
    with anyio.CancelScope() as scope:
        scope.cancel()
        try:
            await anyio.sleep(1.0)
        except BaseException as error:
            cancelled = error
            raise

    outcome, reason = outcome_of(cancelled, ledger)
    assert (outcome, reason and error_kind(reason)) == ("failed", "ConnectTimeout")


async def test_the_phases_are_those_since_the_call_that_have_ended() -> None:
    with dial(TARGET) as current:
        with phase("before"):
            await anyio.sleep(1.0)
        span = Span(current.ledger)
        with phase("tcp"):
            pass
        with phase("running"):
            assert [entry.name for entry in span.phases] == ["tcp"]
        assert span.start == pytest.approx(1.0)


async def test_the_phases_of_other_attempts_and_branches_are_not_ours() -> None:
    spans: dict[str, Span] = {}

    def step(name: str) -> None:
        with phase(name):
            pass

    with dial(TARGET) as current:
        spans["all"] = Span(current.ledger)
        for attempt in (1, 2):
            with label(attempt=attempt):
                spans[f"attempt {attempt}"] = Span(current.ledger)
                step(f"tcp {attempt}")
                with label(branch="a"):
                    spans[f"{attempt} a"] = Span(current.ledger)
                    step(f"{attempt} a")
                    with label(branch="b"):
                        step(f"{attempt} a/b")
                with label(branch="ab"):
                    step(f"{attempt} ab")
        step("http2")

    names = {key: [entry.name for entry in span.phases] for key, span in spans.items()}
    assert names["all"] == [*names["attempt 1"], *names["attempt 2"], "http2"]
    assert names["attempt 1"] == ["tcp 1", "1 a", "1 a/b", "1 ab"]
    assert names["1 a"] == ["1 a", "1 a/b"]
    assert names["2 a"] == ["2 a", "2 a/b"]
