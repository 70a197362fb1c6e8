"""A relay that delays each direction by a fixed time and counts how often the client had to wait for a reply."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["DelayingRelay"]


class DelayingRelay:
    """Forwards connections to a port on loopback, half a round trip each way.

    Attributes:
        turns: round trips of the last connection. A turn begins with the client's first byte after a reply. Messages
            sent together are one turn, so the count does not depend on the speed of the machine.
    """

    def __init__(self, port: int, delay: float) -> None:
        self.turns = 0
        self._port = port
        self._delay = delay
        self._answered = True

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[int]:
        """Listen for the duration of the block; yields the port."""
        async with await asyncio.start_server(self._relay, "127.0.0.1", 0) as server:
            yield server.sockets[0].getsockname()[1]

    async def _relay(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        self.turns, self._answered = 0, True
        server, to_server = await asyncio.open_connection("127.0.0.1", self._port)
        await asyncio.gather(self._up(client, to_server), self._down(server, to_client))

    async def _up(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        async for data in _chunks(source):
            self.turns += self._answered
            self._answered = False
            asyncio.get_running_loop().call_later(self._delay, sink.write, data)
        asyncio.get_running_loop().call_later(self._delay, sink.close)

    async def _down(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        async for data in _chunks(source):
            asyncio.get_running_loop().call_later(self._delay, self._answer, sink, data)
        asyncio.get_running_loop().call_later(self._delay, sink.close)

    def _answer(self, sink: asyncio.StreamWriter, data: bytes) -> None:
        self._answered = True
        sink.write(data)


async def _chunks(source: asyncio.StreamReader) -> AsyncIterator[bytes]:
    try:
        while data := await source.read(65536):
            yield data
    except ConnectionResetError:
        pass  # the client has closed it
