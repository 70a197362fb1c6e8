"""The calls of one connection, each in a task of its own: how they start, and what their end means to the client.

In place of grpclib's ``Handler`` and ``request_handler``, whose rules and log lines these are. A client's mistakes are
answered, and leave no traceback in the log.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import CancelledError
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

from grpclib.const import Status
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError
from grpclib.metadata import Deadline

from ziggurat.services.channel.method import Method
from ziggurat.services.channel.request_head import NO_SUCH_METHOD, Refusal, read_request
from ziggurat.services.channel.server_call import ServerCall
from ziggurat.services.http2 import HeaderSection

__all__ = ["CallHandler"]

log = logging.getLogger("grpclib.server")

Call = ServerCall[Any, Any]

NOTHING: Mapping[str, Method] = {}


class CallHandler:
    """Runs the calls of one connection.

    Args:
        methods: what is offered, by path.
        subtype: the content subtype of its codec.
        gzip: whether to compress messages for clients that accept it.

    Attributes:
        closing: whether no new call is taken.
        gzip: as above.
        on_closed: called once, when the last call has ended after `close`.
    """

    def __init__(self, methods: Mapping[str, Method], subtype: str, *, gzip: bool = False) -> None:
        self.closing = False
        self.gzip = gzip
        self.on_closed: Callable[[], None] | None = None
        self._methods = methods
        self._subtype = subtype
        self._loop = asyncio.get_running_loop()
        self._tasks: dict[Call, asyncio.Task[None]] = {}
        self._cancelled: set[asyncio.Task[None]] = set()

    # -- the beginning of a call

    def open(self, section: HeaderSection) -> Call:
        """Return the call for a request; it starts once it has its number."""
        head = read_request(section, self._subtype)
        return ServerCall(head, self._methods.get(head.path), self)

    def start(self, call: Call) -> None:
        """Run a call."""
        self._tasks[call] = self._loop.create_task(self._run(call))

    def judge(self, call: Call) -> Refusal | None:
        """Return the answer to a request that is not served; ``None`` for one that is."""
        head = call.head
        return head.refusal or (NO_SUCH_METHOD if call.unknown else head.encoding_fault or head.fault)

    def time_limit(self, call: Call) -> float | None:
        """Return how many seconds a call may take; ``None`` for any."""
        return call.head.timeout

    async def _run(self, call: Call) -> None:
        try:
            refusal = self.judge(call)
            if refusal is None:
                await self._serve(call)
            else:
                await call.refuse(refusal)
        except StreamTerminatedError:
            pass  # nobody is there to hear the answer
        except ProtocolError:
            log.exception("Application error")
        except Exception:
            log.exception("Server error")
        finally:
            self._tasks.pop(call, None)
            self.leave(call)

    async def _serve(self, call: Call) -> None:
        timeout, timer = self.time_limit(call), None
        if timeout is not None:
            call.deadline = Deadline.from_timeout(timeout)
            timer = self._loop.call_later(timeout, call.expire)
        failure: Exception | CancelledError | None = None
        try:
            await self._call_method(call)
        except (Exception, CancelledError) as error:
            failure = error
        finally:
            if timer is not None:
                timer.cancel()
        if call.ended_by is not None:
            failure = _cancelled(call.ended_by, failure)
        elif failure is not None:
            _log_failure(failure)
        if isinstance(failure, CancelledError):  # by the server's end, or by the handler itself
            raise failure
        await call.finish(failure)

    async def _call_method(self, call: Call) -> None:
        method = call.method
        func = method.func
        if method.listened("recv_request"):
            call.metadata, func = await cast("Any", method.dispatch).recv_request(
                call.metadata,
                func,
                method_name=method.name,
                deadline=call.deadline,
                content_type=call.head.content_type,
                user_agent=call.user_agent,
                peer=call.peer,
            )
        await func(call)

    # -- the end of a call, or of all

    def leave(self, call: Call) -> None:
        """The task of a call has ended: nobody reads it any more."""
        call.leave()

    def cancel(self, call: Call, error: Exception) -> None:
        """Cancel the task of a call because of ``error``."""
        task = self._tasks.pop(call, None)
        if task is not None:
            call.ended_by = error
            self._cancel(call, task)

    def close(self) -> None:
        """Take no new call, and cancel the tasks of those there are."""
        self.closing = True
        tasks, self._tasks = self._tasks, {}
        for call, task in tasks.items():
            self._cancel(call, task)
        self._check_closed()

    def _cancel(self, call: Call, task: asyncio.Task[None]) -> None:
        task.cancel()
        self._cancelled.add(task)
        task.add_done_callback(partial(self._forget, call))

    def _forget(self, call: Call, task: asyncio.Task[None]) -> None:
        self._cancelled.discard(task)
        self.leave(call)  # a task that is cancelled before it starts has not done so
        if self.closing:
            self._check_closed()

    def _check_closed(self) -> None:
        if self.on_closed is not None and self.check_closed():
            on_closed, self.on_closed = self.on_closed, None
            on_closed()

    def detach(self) -> None:
        """The connection is lost: take no new call, cancel those there are, and let go of what would be a cycle."""
        self.on_closed = None
        self.close()
        self._methods = NOTHING

    def check_closed(self) -> bool:
        """Return whether no task is left."""
        return not self._tasks and not self._cancelled

    async def wait_closed(self) -> None:
        """Wait for the tasks that were cancelled."""
        if self._cancelled:
            await asyncio.wait(self._cancelled)


def _cancelled(reason: Exception, failure: BaseException | None) -> Exception:
    """Log what a handler has made of being cancelled; return what its client is told."""
    if not isinstance(failure, CancelledError):
        log.error("Failed to handle cancellation", exc_info=failure or reason)
    if isinstance(reason, TimeoutError):
        log.info("Deadline exceeded")
        return GRPCError(Status.DEADLINE_EXCEEDED)
    log.info("Request was cancelled: %s", reason)
    return reason


def _log_failure(failure: BaseException) -> None:
    if isinstance(failure, (GRPCError, CancelledError)):
        return
    log.error("Timeout occurred" if isinstance(failure, TimeoutError) else "Application error", exc_info=failure)
