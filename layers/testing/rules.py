"""The rules that `check_layer` applies. Each error says in one sentence what is broken and how to fix it."""

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
    "fail",
    "in_time",
    "ledger_arrives",
    "no_task_left",
    "nothing_left",
    "own_failure",
    "require",
    "same_dial",
    "state_of",
    "tasks",
    "typed_attributes",
]

CLOSE_ON_ERROR = "put `async with closing_on_error(stream):` around everything between inner's return and your own"
FREE_ON_EXIT = "release in a `finally:` what the dial acquired"

DATA = b"check_layer"
CYCLES_TO_END = 5
"""Cycles of the event loop that a cancelled task gets to end."""


def require(condition: bool, message: str, cause: BaseException | None = None) -> None:
    """Raise ``AssertionError(message)`` unless ``condition``; not an ``assert``, which ``python -O`` removes."""
    if not condition:
        fail(message, cause)


def fail(message: str, cause: BaseException | None = None) -> NoReturn:
    """Raise ``AssertionError(message)`` from the layer's own exception, so that the traceback shows its line."""
    raise AssertionError(message) from cause


def state_of(layer: object) -> object:
    """Return whatever shows that a layer was changed: hash, ``repr`` and attributes."""
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
    """Fail if the block takes longer than ``seconds``."""
    with anyio.move_on_after(seconds) as scope:
        yield
    require(not scope.cancelled_caught, f"{what} did not happen within {seconds:g} s")


def answered(outcome: Outcome, probe: Probe, situation: str, patience: float) -> ByteStream:
    """If inner returns a stream, the layer must, too, with exactly one of inner's streams open."""
    far_end = f" (at the far end: {probe.peer_error!r})" if probe.peer_error is not None else ""
    if outcome.kind == "stuck":
        fail(
            f"{situation}, but this dial did not end within {patience:g} s{far_end}: release what each dial holds; "
            "for a layer that uses the stream pass peer=",
            probe.peer_error,
        )
    if outcome.kind != "answered":
        hint = "; for a layer that uses the stream pass peer=" if isinstance(outcome.error, TimeoutError) else ""
        cause = outcome.error or probe.peer_error
        fail(f"{situation}, but the layer {_ended(outcome)}{far_end}: pass inner's stream through{hint}", cause)
    if not isinstance(outcome.answer, ByteStream):
        fail(f"{situation}, but the layer returned {outcome.answer!r}: a connector returns an anyio ByteStream")
    require(bool(probe.calls), "the layer returned a stream without calling inner: dial only through inner")
    require(
        probe.open_streams == 1,
        f"{situation} and the layer returned a stream, but {probe.open_streams} of inner's streams are open, not 1: "
        "return an open one and close the others",
    )
    return outcome.stream


def error_passes(outcome: Outcome, error: Exception) -> None:
    """The layer raises inner's error, or a `ConnectError` caused by it."""
    name = type(error).__name__
    if outcome.kind != "failed" or outcome.error is None:
        fail(f"inner raised {name}, but the layer {_ended(outcome)}: let the error through", error)
    require(
        _caused_by(outcome.error, error),
        f"inner raised {name}, but the layer raised {outcome.error!r}, which hides it: let the error through, or "
        "raise yours `from` it",
        outcome.error,
    )
    require(
        outcome.error is error or isinstance(outcome.error, ConnectError),
        f"inner raised {name}, but the layer raised {outcome.error!r}: let the error through, or raise a ConnectError "
        "`from` it",
        outcome.error,
    )


def cancelled(outcome: Outcome, where: str) -> None:
    """A cancellation passes through unchanged."""
    if isinstance(outcome.error, NotCancelledError):
        fail(
            f"the caller was cancelled {where}, but the call of inner went on: do not shield it, and await it in the "
            "call itself or in a task group inside it",
            outcome.error,
        )
    if outcome.kind == "answered":
        fail(f"the caller was cancelled {where}, but the layer swallowed it: catch Exception, not BaseException")
    if outcome.kind == "failed":
        fail(
            f"the caller was cancelled {where}, but the layer raised {outcome.error!r} instead: never replace a "
            "cancellation; catch Exception, not BaseException",
            outcome.error,
        )
    require(outcome.kind == "cancelled", f"the caller was cancelled {where}, but the dial did not end")


def broken_stream(outcome: Outcome, where: str) -> None:
    """A layer that uses a stream reports its failure as a `ConnectError`."""
    if outcome.kind == "stuck":
        fail(f"{where}, but the dial did not end: raise a ConnectError instead of waiting for more")
    own_failure(outcome, where)


def own_failure(outcome: Outcome, where: str, *, cancelled: bool = False) -> None:
    """A layer's own failure is a `ConnectError`; ``cancelled`` tells whether the suite ended the dial."""
    if outcome.kind == "cancelled" and not cancelled:
        fail(f"{where}, but the layer ended as if the caller had been cancelled: raise a ConnectError")
    if outcome.kind == "answered" and not isinstance(outcome.answer, ByteStream):
        fail(f"{where}, but the layer returned {outcome.answer!r}: raise a ConnectError")
    if outcome.kind == "failed" and not isinstance(outcome.error, ConnectError):
        instead = "ConnectTimeout" if isinstance(outcome.error, TimeoutError) else "ConnectError"
        how = ", or set the limit with `phase(name, limit=)`" if instead == "ConnectTimeout" else ""
        fail(
            f"{where}, but the layer raised {outcome.error!r}: within a dial every failure is a ConnectError; raise a "
            f"{instead} `from` it{how}",
            outcome.error,
        )


def nothing_left(probe: Probe, situation: str, fix: str) -> None:
    """After a failed dial or a closed stream, inner is not running and none of its streams is open."""
    require(probe.open_streams == 0, f"{situation}, but {probe.open_streams} of inner's streams were left open: {fix}")
    require(
        probe.running == 0,
        f"{situation}, but a call of inner is still running: await it in the call itself or in a task group inside it",
    )


def tasks() -> set[int]:
    """Return the ids of the running tasks."""
    return {task.id for task in anyio.get_running_tasks()}


async def no_task_left(before: set[int]) -> None:
    """Every task that was started has ended."""
    for _ in range(CYCLES_TO_END):
        await checkpoint()
    left = [task.name for task in anyio.get_running_tasks() if task.id not in before]
    require(
        not left,
        f"all dials had ended and all streams were closed, but tasks were left running: {', '.join(map(str, left))}; "
        "start tasks in a task group that ends with the call or with the stream",
    )


def typed_attributes(stream: ByteStream, probe: Probe) -> None:
    """The layer's stream has every typed attribute of inner's."""
    missing = object()
    for key, get in probe.streams[-1].attributes.items():
        require(
            stream.extra(key, missing) == get(),
            "a typed attribute of inner's stream (e.g. a SocketAttribute) is missing on the layer's: include "
            "`**self.inner.extra_attributes` in the stream's `extra_attributes`",
        )


def ledger_arrives(stream: ByteStream, probe: Probe, uri: Uri) -> None:
    """The outermost stream carries the record of the whole dial."""
    ledger = stream.extra(DialAttribute.ledger, None)
    if ledger is None:
        fail("the stream carries no ledger: return `current.established(stream)`, and forward `extra_attributes`")
    same_dial(ledger is probe.ledgers[-1] and ledger.target == uri, uri)
    require(not ledger.running, "the dial's ledger is still running after the dial: leave `with dial(uri):`")


def same_dial(condition: bool, uri: Uri, cause: BaseException | None = None) -> None:
    """There is one dial, opened by the layer, and inner takes part in it."""
    require(
        condition,
        f"the ledger is not that of the dial to {uri} that inner took part in: run the whole call, including inner's, "
        "inside `with dial(uri):` and in the caller's context",
        cause,
    )


async def echoes(stream: ByteStream, patience: float) -> None:
    """Bytes pass through in both directions."""
    back = b""
    try:
        with in_time(patience, "an echo through the layer's stream (peer= has to echo, or to return)"):
            await stream.send(DATA)
            while len(back) < len(DATA):
                back += await stream.receive()
    except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
        raise AssertionError(
            f"the layer returned a stream that is not open ({type(error).__name__}): return an open one"
        ) from error
    except Exception as error:
        if isinstance(error, AssertionError):
            raise  # the echo took too long
        raise AssertionError(
            f"the layer's stream raised {error!r}: a stream fails with EndOfStream or BrokenResourceError"
        ) from error
    require(back == DATA, f"the layer's stream changed the data: {DATA!r} came back as {back!r}")


async def close(stream: ByteStream, how: Callable[[ByteStream], Awaitable[None]], patience: float) -> None:
    """A stream can be closed, gracefully or by force."""
    try:
        with in_time(patience, "closing the layer's stream"):
            await how(stream)
    except Exception as error:
        if isinstance(error, AssertionError):
            raise
        raise AssertionError(f"closing the layer's stream raised {error!r}: a close never fails") from error


def _ended(outcome: Outcome) -> str:
    if outcome.kind == "failed":
        return f"raised {outcome.error!r}"
    return {"answered": "returned", "cancelled": "ended as if it had been cancelled"}.get(outcome.kind, "did not end")


def _caused_by(error: BaseException | None, cause: BaseException) -> bool:
    while error is not None and error is not cause:
        error = error.__cause__
    return error is not None
