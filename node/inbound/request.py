"""The requests of one inbound connection: the network's only method is served, all else is answered or refused.

In place of grpclib's handler, which logs a traceback for each request that it cannot read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Any, TypeAlias

from grpclib.const import Status
from grpclib.exceptions import StreamTerminatedError
from grpclib.protocol import AbstractHandler
from grpclib.protocol import Stream as HttpStream
from grpclib.server import Stream
from grpclib.utils import Wrapper
from h2.exceptions import H2Error

from ziggurat.node.wire import MESSAGE_STREAM, KaspadMessage
from ziggurat.services.errors import one_line

__all__ = ["MalformedRequest", "RequestHandler", "judge"]

Headers: TypeAlias = Collection[tuple[str, str]]

Answer: TypeAlias = list[tuple[str, str]]
"""The headers of an answer without a body."""

Call: TypeAlias = Stream[KaspadMessage, KaspadMessage]


class MalformedRequest(ValueError):
    """A request that HTTP/2 does not allow (RFC 9113 8.3.1)."""


def judge(headers: Headers) -> Answer | None:
    """Return the answer to a request for anything but the message stream; ``None`` if it is for that.

    A ``grpc-timeout`` and metadata are not read: the stream has no deadline here, whatever its client intends, and
    nothing in the protocol depends on metadata.

    Raises:
        MalformedRequest: a pseudo-header is missing.
    """
    given = dict(headers)
    for name in (":method", ":path"):
        if not given.get(name):
            raise MalformedRequest(f"the request has no {name}")
    if given[":method"] != "POST":
        return [(":status", "405")]
    kind, _, codec = given.get("content-type", "").partition("+")
    if kind != "application/grpc" or codec not in ("", "proto"):
        return [(":status", "415"), *_status(Status.UNKNOWN, "the content-type must be application/grpc+proto")]
    if given.get("te") != "trailers":
        return [(":status", "400"), *_status(Status.UNKNOWN, "the header te: trailers is missing")]
    if given[":path"] != MESSAGE_STREAM:
        return [
            (":status", "200"),
            ("content-type", "application/grpc"),
            *_status(Status.UNIMPLEMENTED, "no such method"),
        ]
    return None


def _status(status: Status, message: str) -> Answer:
    return [("grpc-status", str(status.value)), ("grpc-message", message)]


class RequestHandler(AbstractHandler):
    """Answers the requests of one connection, each in a task of its own.

    Args:
        open_call: makes grpclib's stream of messages.
        serve: serves the message stream. It may raise `GRPCError`, which becomes the status.
        refuse: called with the reason for a request that is not served, and whether the client broke the protocol.
    """

    def __init__(
        self,
        open_call: Callable[[HttpStream], Call],
        serve: Callable[[Call], Awaitable[None]],
        refuse: Callable[[str, bool], None],
    ) -> None:
        self.closing = False
        self._open_call = open_call
        self._serve = serve
        self._refuse = refuse
        self._tasks: dict[HttpStream, asyncio.Task[None]] = {}

    def accept(self, stream: Any, headers: Any, release_stream: Callable[[], Any]) -> None:
        """Begin to answer a request."""
        try:
            answer = judge(headers)
        except MalformedRequest as error:
            release_stream()
            self._refuse(str(error), True)
            return
        if answer is not None:
            self._refuse(f"a request for {_quoted(dict(headers)[':path'])} instead of {MESSAGE_STREAM}", False)
        work = self._answer(stream, answer) if answer is not None else self._run(stream)
        task = asyncio.get_running_loop().create_task(work)
        self._tasks[stream] = task
        task.add_done_callback(lambda _: self._ended(stream, task, release_stream))

    def cancel(self, stream: HttpStream) -> None:
        """Cancel the answer to a stream that the client has reset."""
        if (task := self._tasks.get(stream)) is not None:
            task.cancel()

    def close(self) -> None:
        """Cancel all answers."""
        self.closing = True
        for task in self._tasks.values():
            task.cancel()

    async def _answer(self, stream: HttpStream, answer: Answer) -> None:
        await stream.send_headers(answer, end_stream=True)
        if stream.closable:
            stream.reset_nowait()

    async def _run(self, stream: HttpStream) -> None:
        wrapper = stream.wrapper = Wrapper()
        async with self._open_call(stream) as call:
            with wrapper:
                await self._serve(call)

    def _ended(self, stream: HttpStream, task: asyncio.Task[None], release_stream: Callable[[], Any]) -> None:
        self._tasks.pop(stream, None)
        release_stream()
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, (StreamTerminatedError, H2Error)):
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a request could not be served", "exception": error, "task": task}
            )


def _quoted(path: str) -> str:
    return one_line(path[:80])
