"""Relay bytes between a local client and its target."""

from __future__ import annotations

from collections.abc import Callable

import anyio
from anyio import BrokenResourceError, ClosedResourceError, EndOfStream
from anyio.abc import ByteStream, TaskGroup

from ziggurat.layers.forward.connection import ForwardedConnection
from ziggurat.layers.forward.reset import reset
from ziggurat.layers.forward.splice import splice
from ziggurat.services.transport_stream import TransportStream

__all__ = ["relay"]

LOST = (BrokenResourceError, ClosedResourceError, OSError)

READ_SIZE = 262144
"""Bytes to receive at once, as asyncio's transports do. Each direction holds at most one such piece."""


async def relay(
    client: ByteStream,
    target: ByteStream,
    record: ForwardedConnection,
    early: bytes = b"",
    idle_timeout: float | None = None,
) -> None:
    """Relay both ways until both sides have ended, and close both; ``record`` is kept up to date.

    The end of one side is passed on, and the other direction goes on for as long as it likes. A side that breaks, the
    limit and a cancellation reset both connections, and ``record.error`` says which it was. A side that cannot be told
    of an end (TLS before 1.3, and any TLS on trio) may go on until it has been silent for `UNTOLD` seconds.

    Args:
        client: the relay owns it from now on, and nothing else may be using it.
        target: likewise.
        record: counts the bytes.
        early: what was received from the client before.
        idle_timeout: seconds without a byte in either direction after which the relay ends; ``None`` for no limit.
    """
    record.last_active = anyio.current_time()
    orderly = False
    try:
        if type(client) is TransportStream and type(target) is TransportStream:
            await splice(client, target, record, early, idle_timeout)
            return  # it has closed both
        loops = _Loops(client, target, record)
        await loops.run(early, idle_timeout)
        orderly = record.error is None
        if orderly:
            await client.aclose()
            await target.aclose()
    except LOST:
        record.error = record.error or "the connection was lost"
        orderly = False
    except BaseException:
        orderly = False
        record.error = record.error or "cut off when the forwarder stopped"
        raise
    finally:
        if not orderly:
            await reset(client)
            await reset(target)


UNTOLD = 30.0
"""Seconds of silence after which a connection is closed whose one side has ended and whose other cannot be told. That
side may well have an answer still to send, but if not, the connection would stay open for good."""


class _Loops:
    """A task for each direction, for streams that are not asyncio's transports."""

    def __init__(self, client: ByteStream, target: ByteStream, record: ForwardedConnection) -> None:
        self.client = client
        self.target = target
        self.record = record
        self.ends = 0  # of the two directions

    async def run(self, early: bytes, idle_timeout: float | None) -> None:
        async with anyio.create_task_group() as watch:
            if idle_timeout is not None:
                watch.start_soon(self._watch_idle, idle_timeout, watch)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._copy, self.client, self.target, self._sent, early, tasks)
                tasks.start_soon(self._copy, self.target, self.client, self._received, b"", tasks)
            watch.cancel_scope.cancel()

    async def _watch_idle(self, limit: float, watch: TaskGroup) -> None:
        await self._silence(limit)
        self.record.error = self.record.error or f"idle for {limit:g} s"
        watch.cancel_scope.cancel()

    async def _silence(self, limit: float) -> None:
        while (left := self.record.last_active + limit - anyio.current_time()) > 0:  # noqa: ASYNC110  (it moves)
            await anyio.sleep(left)

    async def _copy(
        self, source: ByteStream, sink: ByteStream, count: Callable[[int], None], data: bytes, tasks: TaskGroup
    ) -> None:
        while True:
            if data:
                try:
                    await sink.send(data)
                except LOST:
                    return self._broken(sink, tasks)
                count(len(data))
            try:
                data = await source.receive(READ_SIZE)
            except EndOfStream:
                return await self._end(sink, tasks)
            except LOST:
                return self._broken(source, tasks)

    def _broken(self, side: ByteStream, tasks: TaskGroup) -> None:
        name = "client" if side is self.client else "target"
        self.record.error = self.record.error or f"the {name} broke the connection"
        tasks.cancel_scope.cancel()

    async def _end(self, sink: ByteStream, tasks: TaskGroup) -> None:
        self.ends += 1
        if self.ends == 2:
            tasks.cancel_scope.cancel()  # both are about to be closed
            return
        try:
            await sink.send_eof()
        except NotImplementedError:
            self.record.last_active = anyio.current_time()
            await self._silence(UNTOLD)
            tasks.cancel_scope.cancel()
        except LOST:
            self._broken(sink, tasks)

    def _sent(self, size: int) -> None:
        self.record.sent += size
        self.record.last_active = anyio.current_time()

    def _received(self, size: int) -> None:
        self.record.received += size
        self.record.last_active = anyio.current_time()
