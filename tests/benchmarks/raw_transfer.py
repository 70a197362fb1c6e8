"""The floor of a large message: as many bytes over asyncio's transport, and over its TLS, but no HTTP/2."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from struct import Struct
from typing import cast

from bench_service import MIB
from clients import Client, client_context

__all__ = ["open_raw_transfer", "raw_transfer"]

ORDER = Struct(">?L")
"""What a client begins with: whether it wants to receive, and how many MiB follow in that direction."""

PAYLOAD = bytes(range(256)) * (MIB // 256)
DONE = b"\1"


class Transfer(asyncio.Protocol):
    """What both ends have in common: sending MiBs no faster than the transport takes them."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._writable = asyncio.Event()
        self._writable.set()
        self.pause_writing = self._writable.clear  # type: ignore[method-assign]
        self.resume_writing = self._writable.set  # type: ignore[method-assign]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    async def send(self, count: int) -> None:
        for _ in range(count):
            await self._writable.wait()
            self.transport.write(PAYLOAD)


class Server(Transfer):
    """Sends or receives as it is told."""

    def __init__(self) -> None:
        super().__init__()
        self._missing = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def data_received(self, data: bytes) -> None:
        if not self._missing:
            down, count = ORDER.unpack_from(data)
            data = data[ORDER.size :]
            if down:
                task = self._loop.create_task(self.send(count))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
                return
            self._missing = count * MIB
        self._missing -= len(data)
        if not self._missing:
            self.transport.write(DONE)


class RawTransfer(Transfer, Client):
    """The client: what it receives it puts together to messages of a MiB."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []
        self._size = self._missing = 0
        self._done = self._loop.create_future()

    def data_received(self, data: bytes) -> None:
        self._parts.append(data)
        self._size += len(data)
        if self._size >= min(MIB, self._missing):
            received = b"".join(self._parts)
            message, rest = received[:MIB], received[MIB:]
            self._parts, self._size = [rest], len(rest)
            self._missing -= len(message)
            if not self._missing:
                self._done.set_result(None)

    async def unary(self) -> None:
        """What makes sure of the connection, as the other clients' does."""
        await self.download(1)

    async def download(self, count: int) -> None:
        self._done, self._missing = self._loop.create_future(), count * MIB
        self.transport.write(ORDER.pack(True, count))
        await self._done

    async def upload(self, count: int) -> None:
        self._done, self._missing = self._loop.create_future(), len(DONE)
        self.transport.write(ORDER.pack(False, count))
        await self.send(count)
        await self._done


async def open_raw_transfer(raw: int, port: int, stack: AsyncExitStack, authority: str | None = None) -> Client:
    """Connect to the port of such a server, whatever ``port`` the others have."""
    tls, name = client_context(authority), None if authority is None else "localhost"
    loop = asyncio.get_running_loop()
    transport, client = await loop.create_connection(RawTransfer, "127.0.0.1", raw, ssl=tls, server_hostname=name)
    stack.callback(transport.close)
    return client


@asynccontextmanager
async def raw_transfer(certificate: str | None) -> AsyncIterator[int]:
    """Run the server."""
    from servers import context

    loop = asyncio.get_running_loop()
    server = await loop.create_server(Server, "127.0.0.1", 0, ssl=context(certificate))
    yield server.sockets[0].getsockname()[1]
    server.close()
