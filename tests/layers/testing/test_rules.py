"""Rules that no broken layer in test_contract.py covers."""

from __future__ import annotations

import anyio
import pytest

from ziggurat.layers.testing import rules, stream_pair
from ziggurat.layers.testing.stepping import Outcome
from ziggurat.services import ConnectError


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        (Outcome("stuck"), "it broke, but the dial did not end"),
        (Outcome("cancelled"), "as if the caller had been cancelled"),
        (Outcome("failed", error=anyio.EndOfStream()), "every failure is a ConnectError"),
    ],
)
def test_a_broken_stream_must_become_a_connect_error(outcome: Outcome, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        rules.broken_stream(outcome, "it broke")


def test_a_cancelled_dial_must_end() -> None:
    with pytest.raises(AssertionError, match="the dial did not end"):
        rules.cancelled(Outcome("stuck"), "here")


@pytest.mark.parametrize("kind", ["answered", "cancelled", "stuck"])
def test_an_error_must_not_be_lost(kind: str) -> None:
    with pytest.raises(AssertionError, match=r"inner raised ValueError, but the layer .*: let the error through"):
        rules.error_passes(Outcome(kind), ValueError("x"))  # type: ignore[arg-type]


def test_an_error_may_be_mapped_only_with_its_cause() -> None:
    cause, mapped = ValueError("x"), ConnectError("y")
    mapped.__context__ = cause
    with pytest.raises(AssertionError, match="which hides it"):
        rules.error_passes(Outcome("failed", error=mapped), cause)
    mapped.__cause__ = cause
    rules.error_passes(Outcome("failed", error=mapped), cause)


@pytest.mark.parametrize("cause", [ValueError("x"), ConnectError("x")])
def test_an_error_may_be_mapped_only_to_a_connect_error(cause: Exception) -> None:
    foreign = RuntimeError("y")
    foreign.__cause__ = cause
    with pytest.raises(AssertionError, match=r"raised RuntimeError\('y'\): let the error through, or raise") as caught:
        rules.error_passes(Outcome("failed", error=foreign), cause)
    assert caught.value.__cause__ is foreign


async def test_a_stream_that_does_not_close_in_time_is_found() -> None:
    near, _ = stream_pair()
    with pytest.raises(AssertionError, match="closing the layer's stream did not happen within 5 s"):
        await rules.close(near, lambda stream: anyio.sleep(100), 5.0)


async def test_a_stream_that_is_not_open_is_found() -> None:
    near, far = stream_pair()
    await far.aclose()
    with pytest.raises(AssertionError, match=r"not open \(BrokenResourceError\)"):
        await rules.echoes(near, 5.0)


def test_the_state_of_a_layer_is_its_hash_repr_and_attributes() -> None:
    class Slotted:
        __slots__ = ("value",)
        __hash__ = None  # type: ignore[assignment]

        def __repr__(self) -> str:
            return "Slotted"

    layer = Slotted()
    before = rules.state_of(layer)
    assert rules.state_of(layer) == before
    layer.value = 1
    assert rules.state_of(layer) != before
