"""Whether an error shows a secret to what prints errors: pytest's ``-l``, Sentry, rich."""

from __future__ import annotations

from collections.abc import Iterator
from types import FrameType


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and everything that led to it."""
    pending, seen = [error], set[int]()
    while pending:
        each = pending.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        pending += [each.__cause__, each.__context__]
        if isinstance(each, BaseExceptionGroup):
            pending += each.exceptions


def frames(error: BaseException) -> Iterator[FrameType]:
    """The frames of the whole chain, without the test's own, which may hold what they like."""
    for each in chain(error):
        trace = each.__traceback__
        while trace is not None:
            if "/tests/" not in trace.tb_frame.f_code.co_filename:
                yield trace.tb_frame
            trace = trace.tb_next


def places_of(secret: str, error: BaseException) -> list[str]:
    """Where the secret shows: in a text, in a ``repr``, in a local variable."""
    places = [f"str of {type(each).__name__}" for each in chain(error) if secret in str(each)]
    places += [f"repr of {type(each).__name__}" for each in chain(error) if secret in repr(each)]
    for frame in frames(error):
        places += [f"{frame.f_code.co_name}: {name}" for name, value in frame.f_locals.items() if secret in repr(value)]
    return places
