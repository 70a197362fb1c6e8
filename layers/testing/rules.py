"""The rules that `check_layer` holds a layer to. Each says in one sentence what is broken and what to do about it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Iterable
from contextlib import contextmanager
from typing import NoReturn

import anyio
from anyio.abc import ByteStream
from anyio.lowlevel import checkpoint

from ziggurat.layers.testing.probe import NotCancelledError, Probe
from ziggurat.layers.testing.stepping import Outcome
from ziggurat.services.errors import ConnectError
from ziggurat.services.stream import DialAttribute
from ziggurat.services.uri import Uri

__all__ = [
    "CLOSE_ON_ERROR",
    "FREE_ON_EXIT",
    "answered",
    "broken_stream",
    "cancelled",
    "echoes",
    "error_passes",
    "in_time",
    "ledger_arrives",
    "no_task_left",
    "nothing_left",
    "require",
    "same_dial",
    "state_of",
    "tasks",
    "typed_attributes",
]

CLOSE_ON_ERROR = "put `async with closing_on_error(stream):` around everything between inner's answer and your own"
FREE_ON_EXIT = "give back in a `finally:` what the dial took"

DATA = b"check_layer"
SETTLE = 5
"""Turns of the event loop in which a task that was told to end may do so."""


def require(condition: bool, message: str) -> None:
    """Raise ``AssertionError(message)`` unless ``condition``; not an ``assert``, which ``python -O`` removes."""
    if not condition:
        fail(message)


def fail(message: str) -> NoReturn:
    raise AssertionError(message)


def state_of(layer: object) -> object:
    """Everything by which a change of a layer can be seen."""
    try:
        number: int | None = hash(layer)
    except TypeError:
        number = None
    names = {*getattr(layer, "__dict__", {})}
    for cls in type(layer).__mro__:
        slots: str | Iterable[str] = cls.__dict__.get("__slots__", ())
        names |= {slots} if isinstance(slots, str) else set(slots)
    return number, repr(layer), {name: repr(getattr(layer, name, None)) for name in sorted(names)}


@contextmanager
def in_time(seconds: float, what: str) -> Generator[None, None, None]:
    """Fail if the block takes longer."""
    with anyio.move_on_after(seconds) as scope:
        yield
    require(not scope.cancelled_caught, f"{what} did not happen within {seconds:g} s")


def answered(outcome: Outcome, probe: Probe, situation: str, patience: float) -> ByteStream:
    """Inner answers, so the layer must, with one open stream."""
    far_end = f" (at the far end: {probe.peer_error!r})" if probe.peer_error is not None else ""
    if outcome.kind == "stuck":
        fail(
            f"{situation}, but this dial did not end within {patience:g} s{far_end}: give back whatever a dial held; "
            "and for a layer that speaks on the stream pass peer="
        )
    if outcome.kind != "answered":
        hint = "; for a layer that speaks on the stream pass peer=" if isinstance(outcome.error, TimeoutError) else ""
        fail(f"{situation}, but the layer {_ended(outcome)}{far_end}: pass the answer of inner through{hint}")
    if not isinstance(outcome.answer, ByteStream):
        fail(f"{situation}, but the layer returned {outcome.answer!r}: a connector answers with an anyio ByteStream")
    require(bool(probe.calls), "the layer answered without having called inner: dial through inner, nothing else")
    require(
        probe.open_streams == 1,
        f"{situation} and the layer answered, but {probe.open_streams} of inner's streams are open, not 1: "
        "hand on an open one, and close those that are not handed on",
    )
    return outcome.stream


def error_passes(outcome: Outcome, error: Exception) -> None:
    """What inner raised comes out, itself or as the cause of what comes out."""
    name = type(error).__name__
    if outcome.kind != "failed" or outcome.error is None:
        fail(f"inner raised {name}, but the layer {_ended(outcome)}: let the error through")
    require(
        _caused_by(outcome.error, error),
        f"inner raised {name}, but the layer raised {outcome.error!r}, which hides it: let the error through, or "
        "raise yours `from` it",
    )


def cancelled(outcome: Outcome, where: str) -> None:
    """A cancellation comes out as it is."""
    if isinstance(outcome.error, NotCancelledError):
        fail(
            f"the caller was cancelled {where}, but the call of inner went on: do not shield it, and await it in the "
            "call itself or in a task group of the call"
        )
    if outcome.kind == "answered":
        fail(f"the caller was cancelled {where}, but the layer swallowed it: catch Exception, not BaseException")
    if outcome.kind == "failed":
        fail(
            f"the caller was cancelled {where}, but the layer raised {outcome.error!r} instead: never rename a "
            "cancellation; catch Exception, not BaseException"
        )
    require(outcome.kind == "cancelled", f"the caller was cancelled {where}, but the dial did not end")


def broken_stream(outcome: Outcome, where: str) -> None:
    """A layer that speaks on a stream says what broke in the library's words."""
    if outcome.kind == "stuck":
        fail(f"{where}, but the dial did not end: do not wait for more, raise a ConnectError")
    if outcome.kind == "cancelled":
        fail(f"{where}, but the layer ended as if the caller had been cancelled: raise a ConnectError")
    if outcome.kind == "failed":
        require(
            isinstance(outcome.error, ConnectError),
            f"{where}, but the layer raised {outcome.error!r}: within a dial every failure is a ConnectError; raise "
            "one `from` it",
        )


def nothing_left(probe: Probe, situation: str, fix: str) -> None:
    """After a dial that failed or a stream that was closed, inner has nothing open and is not running."""
    require(probe.open_streams == 0, f"{situation}, but {probe.open_streams} of inner's streams were left open: {fix}")
    require(
        probe.running == 0,
        f"{situation}, but a call of inner is still running: await inner in the call itself or in a task group of it",
    )


def tasks() -> set[int]:
    """The tasks that run now."""
    return {task.id for task in anyio.get_running_tasks()}


async def no_task_left(before: set[int]) -> None:
    """Whoever started a task has waited for its end."""
    for _ in range(SETTLE):
        await checkpoint()
    left = [task.name for task in anyio.get_running_tasks() if task.id not in before]
    require(
        not left,
        f"all dials had ended and all streams were closed, but tasks were left running: {', '.join(map(str, left))}; "
        "start tasks in a task group that ends with the call or with the stream",
    )


def typed_attributes(stream: ByteStream, probe: Probe) -> None:
    """What inner's stream tells of itself, the layer's stream tells too."""
    missing = object()
    for key, get in probe.streams[-1].attributes.items():
        require(
            stream.extra(key, missing) == get(),
            "a typed attribute of inner's stream is missing on the layer's (SocketAttribute and others): include "
            "`**self.inner.extra_attributes` in the stream's `extra_attributes`",
        )


def ledger_arrives(stream: ByteStream, probe: Probe, uri: Uri) -> None:
    """The outermost stream carries the record of the whole dial."""
    ledger = stream.extra(DialAttribute.ledger, None)
    if ledger is None:
        fail("the stream carries no ledger: return `current.established(stream)`, and forward `extra_attributes`")
    same_dial(ledger is probe.ledgers[-1] and ledger.target == uri, uri)
    require(not ledger.running, "the dial's ledger is still running after the dial: leave `with dial(uri):`")


def same_dial(condition: bool, uri: Uri) -> None:
    """There is one dial, the layer's own, and inner takes part in it."""
    require(
        condition,
        f"the ledger is not that of the dial to {uri} which inner took part in: run the whole call, that of inner "
        "included, inside `with dial(uri):`, and in the caller's context",
    )


async def echoes(stream: ByteStream, patience: float) -> None:
    """Bytes pass through, both ways."""
    back = b""
    try:
        with in_time(patience, "an echo through the layer's stream (peer= has to echo, or to return)"):
            await stream.send(DATA)
            while len(back) < len(DATA):
                back += await stream.receive()
    except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
        raise AssertionError(
            f"the layer answered with a stream that is of no use ({type(error).__name__}): hand on an open one"
        ) from error
    require(back == DATA, f"the layer's stream changed what passed: {DATA!r} came back as {back!r}")


async def close(stream: ByteStream, how: Callable[[ByteStream], Awaitable[None]], patience: float) -> None:
    """A stream can be closed, with or without force."""
    with in_time(patience, "closing the layer's stream"):
        await how(stream)


def _ended(outcome: Outcome) -> str:
    if outcome.kind == "failed":
        return f"raised {outcome.error!r}"
    return {"answered": "answered", "cancelled": "ended as if it had been cancelled"}.get(outcome.kind, "did not end")


def _caused_by(error: BaseException | None, cause: BaseException) -> bool:
    while error is not None and error is not cause:
        error = error.__cause__
    return error is not None
