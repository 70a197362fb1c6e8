"""Keep secrets out of tracebacks: pytest's ``-l``, Sentry and rich print the local variables of every frame."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar, cast

from anyio.abc import ByteStream

__all__ = ["drop_frames", "hide_arguments", "send_message"]

P = ParamSpec("P")
R = TypeVar("R")


def hide_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """Raise the function's ``TypeError`` or ``ValueError`` without its frames, its arguments and its cause.

    For functions that are given a secret. The frames above, the user's, stay. Other exceptions pass unchanged: they are
    bugs, and need their traceback.
    """

    @wraps(function)
    def hiding(*args: P.args, **kwargs: P.kwargs) -> R:
        wrong: TypeError | ValueError
        try:
            return function(*args, **kwargs)
        except (TypeError, ValueError) as error:
            wrong = error
        del args, kwargs
        # A decoder's error, for one, holds the text that it could not decode.
        wrong.__cause__ = wrong.__context__ = wrong.__traceback__ = None
        try:
            raise wrong
        finally:
            del wrong  # this frame is in its traceback: together they would wait for the next collection

    return hiding


def drop_frames(error: BaseException) -> None:
    """Remove the tracebacks of ``error`` and of everything that led to it."""
    pending: list[BaseException | None] = [error]
    seen: set[int] = set()
    while pending:
        each = pending.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        each.__traceback__ = None
        pending += [each.__cause__, each.__context__]
        if isinstance(each, BaseExceptionGroup):
            pending += cast("BaseExceptionGroup[BaseException]", each).exceptions


async def send_message(stream: ByteStream, make: Callable[[], bytes], *, secret: bool) -> int:
    """Send a message, if it is not empty, and return its length.

    Args:
        stream: where to send it.
        make: makes the message. No frame of the caller then holds it.
        secret: whether it may contain a secret. An error then has no frames of the streams below, which have it.
    """
    message = make()
    try:
        if message:
            await stream.send(message)
        return len(message)
    except BaseException as error:
        if secret:
            drop_frames(error)
        raise
    finally:
        message = b""
