"""Real sockets on loopback that can be closed with EOF or with a reset.

anyio's streams send EOF even when they are closed by force, so they cannot play a peer that crashed.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
from anyio import BrokenResourceError, ClosedResourceError, EndOfStream
from anyio.abc import ByteStream, SocketAttribute
from anyio.lowlevel import checkpoint

__all__ = ["SocketByteStream", "serve_loopback"]


class SocketByteStream(ByteStream):
    """A connected socket. One task may receive while another sends."""

    def __init__(self, raw: socket.socket) -> None:
        raw.setblocking(False)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = raw
        self._closed = False

    async def receive(self, max_bytes: int = 65536) -> bytes:
        await checkpoint()
        while True:
            self._check_open()
            try:
                data = self._socket.recv(max_bytes)
            except BlockingIOError:
                await anyio.wait_readable(self._socket)
                continue
            except OSError as error:
                raise BrokenResourceError from error
            if not data:
                raise EndOfStream
            return data

    async def send(self, item: bytes) -> None:
        await checkpoint()
        rest = memoryview(item)
        while rest:
            self._check_open()
            try:
                rest = rest[self._socket.send(rest) :]
            except BlockingIOError:
                await anyio.wait_writable(self._socket)
            except OSError as error:
                raise BrokenResourceError from error

    async def send_eof(self) -> None:
        await checkpoint()
        self._check_open()
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the client closed first

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            self._socket.close()
        await checkpoint()

    def reset(self) -> None:
        """Close with a TCP reset: the peer's next operation fails with ECONNRESET."""
        if not self._closed:
            self._closed = True
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._socket.close()

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedResourceError

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return {
            SocketAttribute.family: lambda: self._socket.family,
            SocketAttribute.raw_socket: lambda: self._socket,
            SocketAttribute.local_address: self._socket.getsockname,
            SocketAttribute.remote_address: self._socket.getpeername,
        }


@asynccontextmanager
async def serve_loopback(handler: Callable[[ByteStream], Awaitable[object]]) -> AsyncGenerator[int, None]:
    """Listen on 127.0.0.1 for the duration of an ``async with`` block, and yield the port.

    ``handler`` runs in a task per connection, which is closed afterwards. Leaving the block cancels them all.
    """

    async def serve(stream: SocketByteStream) -> None:
        try:
            await handler(stream)
        finally:
            await anyio.aclose_forcefully(stream)

    async def accept() -> None:
        while True:
            await anyio.wait_readable(listener)
            try:
                raw, _ = listener.accept()
            except OSError:
                continue  # the client has gone
            tasks.start_soon(serve, SocketByteStream(raw))

    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        listener.setblocking(False)
        port: int = listener.getsockname()[1]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(accept)
            yield port
            tasks.cancel_scope.cancel()
