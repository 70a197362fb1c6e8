"""What the scripted proxies share: they answer in pieces, with a delay, and up to a cut."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Literal, Self, TypeAlias

import anyio
from anyio import BrokenResourceError, ClosedResourceError, EndOfStream
from anyio.abc import ByteStream, TaskGroup

from ziggurat.layers.testing.faults import FaultStream
from ziggurat.layers.testing.loopback import SocketByteStream, serve_loopback
from ziggurat.layers.testing.memory import MemoryStream, stream_pair
from ziggurat.services.dial import dial
from ziggurat.services.service import Connector
from ziggurat.services.uri import Uri
from ziggurat.services.validation import check_count, check_seconds

__all__ = ["CutError", "CutWith", "Manner", "RecordingStream", "Script", "ScriptedServer", "echo", "hang_up"]

CutWith: TypeAlias = Literal["eof", "reset", "stall"]


class CutError(Exception):
    """The script has reached the cut."""


class Manner:
    """How a proxy says what it says.

    Args:
        split: bytes per write; ``None`` writes each answer in one piece.
        delay: seconds before each write.
        cut: how many bytes to send in all before the connection ends; ``None`` for no cut.
        cut_with: how the connection ends at the cut: ``eof``, ``reset``, or ``stall``, which stays open and silent.

    Raises:
        TypeError, ValueError: an argument is wrong.
    """

    def __init__(self, split: int | None, delay: float, cut: int | None, cut_with: CutWith) -> None:
        check_count("split", split, unit="bytes")
        check_count("cut", cut, minimum=0, unit="bytes")
        check_seconds("delay", delay, zero=True, optional=False)
        if cut_with not in ("eof", "reset", "stall"):
            raise ValueError(f"cut_with must be 'eof', 'reset' or 'stall', not {cut_with!r}")
        self.split = split
        self.delay = delay
        self.cut = cut
        self.cut_with: CutWith = cut_with

    async def end(self, stream: ByteStream, client: RecordingStream) -> None:
        """End the connection at the cut."""
        if self.cut_with == "stall":
            await _discard(client)
        elif self.cut_with == "eof":
            await hang_up(client)
        elif isinstance(stream, (MemoryStream, SocketByteStream)):
            stream.reset()
        else:
            raise TypeError(f"cut_with='reset' works in memory and on serve(), not on {stream!r}")


class ScriptedServer:
    """A server that is reached in memory or on loopback; its subclass says what it does with a client."""

    def __init__(self, scheme: str) -> None:
        self._scheme = scheme
        self._tasks: TaskGroup | None = None

    async def __aenter__(self) -> Self:
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        assert self._tasks is not None
        tasks, self._tasks = self._tasks, None
        tasks.cancel_scope.cancel()
        return await tasks.__aexit__(kind, error, trace)

    def connector(self) -> Connector:
        """Return a leaf that reaches this proxy in memory, whatever the Uri; for use inside ``async with``."""

        async def connect(uri: Uri, /) -> ByteStream:
            if self._tasks is None:
                raise RuntimeError("use a scripted proxy's connector inside `async with proxy:`")
            with dial(uri) as current:
                near, far = stream_pair()
                self._tasks.start_soon(self.handle, far, uri)
                return current.established(near)

        return connect

    @asynccontextmanager
    async def serve(self) -> AsyncGenerator[Uri, None]:
        """Listen on loopback for the duration of an ``async with`` block, and yield the proxy's Uri."""
        async with serve_loopback(self.handle) as port:
            yield Uri(self._scheme, "127.0.0.1", port)

    @abstractmethod
    async def handle(self, stream: ByteStream, uri: Uri | None = None) -> None:
        """Follow the script with one client on any byte stream, then close it."""


class RecordingStream(FaultStream):
    """A stream that records received chunks in ``chunks`` and returns them in the requested sizes."""

    def __init__(self, inner: ByteStream, chunks: list[bytes]) -> None:
        super().__init__(inner)
        self._chunks: list[bytes] | None = chunks
        self._rest = b""

    async def receive(self, max_bytes: int = 65536) -> bytes:
        if not self._rest:
            self._rest = await super().receive()
            if self._chunks is not None:
                self._chunks.append(self._rest)
        data, self._rest = self._rest[:max_bytes], self._rest[max_bytes:]
        return data

    def put_back(self, data: bytes) -> None:
        """Return bytes that belong to what follows."""
        self._rest = data + self._rest

    def stop(self) -> None:
        """Stop recording."""
        self._chunks = None


class Script:
    """The proxy's side of a conversation: sends in pieces and up to the cut."""

    def __init__(self, client: RecordingStream, manner: Manner) -> None:
        self.client = client
        self._split = manner.split
        self._delay = manner.delay
        self._left = manner.cut

    async def say(self, data: bytes) -> None:
        """Send ``data``.

        Raises:
            CutError: this was the last byte before the cut.
        """
        size = self._split or len(data) or 1
        for start in range(0, len(data), size):
            piece = data[start : start + size]
            allowed = piece if self._left is None else piece[: self._left]
            if self._delay:
                await anyio.sleep(self._delay)
            if allowed:
                await self.client.send(allowed)
            if self._left is not None:
                self._left -= len(allowed)
                if not self._left:
                    raise CutError


async def echo(stream: ByteStream) -> None:
    """Send back what arrives, until the stream ends."""
    while True:
        await stream.send(await stream.receive())


async def hang_up(stream: ByteStream) -> None:
    """End our side, and wait until the client ends its own."""
    # Closing a socket with unread data resets it, and what was sent last is lost: let the client end first.
    try:
        await stream.send_eof()
    except (BrokenResourceError, ClosedResourceError):
        return
    await _discard(stream)


async def _discard(stream: ByteStream) -> None:
    try:
        while True:
            await stream.receive()
    except (EndOfStream, BrokenResourceError, ClosedResourceError):
        pass
