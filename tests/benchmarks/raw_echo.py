"""The floor of a unary call: the same protobuf, as many bytes, and asyncio, but no HTTP/2."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import AsyncExitStack
from typing import cast

from bench_service import BytesValue
from clients import REQUEST, Client

__all__ = ["open_raw_echo"]

SIZE = 64
"""Bytes of a request and of its answer: about what a call of a channel in use sends."""


class RawEcho(Client, asyncio.Protocol):
    """A client of a server that sends back what comes."""

    def __init__(self) -> None:
        self._waiters: deque[asyncio.Future[bytes]] = deque()
        self._received = b""
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while len(self._received) >= SIZE:
            self._waiters.popleft().set_result(self._received[:SIZE])
            self._received = self._received[SIZE:]

    async def unary(self) -> None:
        body = REQUEST.SerializeToString()
        answer = self._loop.create_future()
        self._waiters.append(answer)
        self.transport.write(body.ljust(SIZE, b"\0"))
        BytesValue.FromString((await answer)[: len(body)])

    async def unary_with_metadata(self) -> None:
        await self.unary()


async def open_raw_echo(echo: int, port: int, stack: AsyncExitStack, authority: str | None = None) -> Client:
    """Connect to the port of an echo server, whatever ``port`` the others have."""
    transport, client = await asyncio.get_running_loop().create_connection(RawEcho, "127.0.0.1", echo)
    stack.callback(transport.close)
    return client
