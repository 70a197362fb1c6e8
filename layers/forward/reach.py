"""Dial for a client that waits, and give up if the client does.

A client that only ends its direction may still wait for an answer (``echo request | nc``), and its end alone looks
like that of a client that has left. So a client counts as gone when its connection breaks, or when it ends without
having sent anything, which is what health checks, browsers and impatient pools do.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
from anyio import BrokenResourceError, ClosedResourceError, EndOfStream
from anyio.abc import ByteStream

from ziggurat.layers.forward.reset import reset

__all__ = ["ClientLeft", "reach"]

MAX_EARLY = 65536
"""Bytes of the client to take before there is a target; beyond them its connection is no longer watched."""


class ClientLeft(Exception):
    """The client has closed its connection before the target was reached."""

    def __init__(self) -> None:
        super().__init__("the client left before the target was reached")


async def reach(
    client: ByteStream, connect: Callable[[], Awaitable[ByteStream]], *, any_end: bool = False
) -> tuple[ByteStream, bytes]:
    """Open the connection to the target; return it and what the client has sent meanwhile.

    Args:
        client: nothing else may be receiving from it.
        connect: dials; cancelled when the client leaves.
        any_end: whether a client that has sent something and then ends has left, too: in SOCKS5 it must wait for the
            reply.

    Raises:
        ClientLeft: it did, and the dial was cancelled.
        Exception: whatever ``connect`` raises.
    """
    watch = _Watch(client, any_end)
    stream: ByteStream | None = None
    failure: Exception | None = None
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch.run, tasks.cancel_scope)
            try:
                stream = await connect()
            except Exception as error:
                failure = error  # a task group would wrap it in a group
            tasks.cancel_scope.cancel()
    except BaseException:
        if stream is not None:
            await reset(stream)
        raise
    if failure is not None and not watch.left:
        raise failure
    if stream is None or watch.left:
        if stream is not None:
            await reset(stream)
        raise ClientLeft
    return stream, bytes(watch.early)


class _Watch:
    """Receives from the client until it leaves, or has sent more than may be kept."""

    def __init__(self, client: ByteStream, any_end: bool) -> None:
        self.client = client
        self.any_end = any_end
        self.early = bytearray()
        self.left = False

    async def run(self, dialling: anyio.CancelScope) -> None:
        try:
            while len(self.early) < MAX_EARLY:
                self.early += await self.client.receive(MAX_EARLY - len(self.early))
        except EndOfStream:
            self.left = self.any_end or not self.early
        except (BrokenResourceError, ClosedResourceError):
            self.left = True
        if self.left:
            dialling.cancel()
