"""Faulty streams, over any byte stream or over one another.

The first argument is the stream below. Closing, EOF and typed attributes pass through.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import anyio
from anyio import BrokenResourceError, ClosedResourceError, EndOfStream
from anyio.abc import ByteStream
from anyio.lowlevel import checkpoint

from ziggurat.layers.layer import Layer, layer_fn
from ziggurat.services.service import Connector
from ziggurat.services.stream import closing_on_error
from ziggurat.services.uri import Uri
from ziggurat.services.validation import check_count, check_seconds

__all__ = ["DelayStream", "EofStream", "ResetStream", "SplitStream", "StallStream", "fault_layer"]


def _check_position(name: str, value: int | None, *, optional: bool = False) -> None:
    check_count(name, value, minimum=0, unit="bytes", optional=optional)


class FaultStream(ByteStream):
    """The base of the faults: passes everything through."""

    def __init__(self, inner: ByteStream) -> None:
        self.inner = inner
        self.received = 0
        self._closed = anyio.Event()

    async def receive(self, max_bytes: int = 65536) -> bytes:
        data = await self.inner.receive(max_bytes)
        self.received += len(data)
        return data

    async def send(self, item: bytes) -> None:
        await self.inner.send(item)

    async def send_eof(self) -> None:
        await self.inner.send_eof()

    async def aclose(self) -> None:
        self._closed.set()
        await self.inner.aclose()

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return self.inner.extra_attributes  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


class SplitStream(FaultStream):
    """A stream that receives at most ``size`` bytes at once, and sends ``size`` bytes per write."""

    def __init__(self, inner: ByteStream, size: int) -> None:
        check_count("size", size, unit="bytes", optional=False)
        super().__init__(inner)
        self.size = size

    async def receive(self, max_bytes: int = 65536) -> bytes:
        return await super().receive(min(max_bytes, self.size))

    async def send(self, item: bytes) -> None:
        for start in range(0, len(item), self.size) or (0,):
            await self.inner.send(item[start : start + self.size])


class DelayStream(FaultStream):
    """A stream that waits ``seconds`` before each receive."""

    def __init__(self, inner: ByteStream, seconds: float) -> None:
        check_seconds("seconds", seconds, zero=True, optional=False)
        super().__init__(inner)
        self.seconds = seconds

    async def receive(self, max_bytes: int = 65536) -> bytes:
        await anyio.sleep(self.seconds)
        return await super().receive(max_bytes)


class StallStream(FaultStream):
    """A stream that receives the first ``after`` bytes and then nothing, not even EOF, until it is closed."""

    def __init__(self, inner: ByteStream, after: int) -> None:
        _check_position("after", after)
        super().__init__(inner)
        self.after = after

    async def receive(self, max_bytes: int = 65536) -> bytes:
        if self.received < self.after:
            return await super().receive(min(max_bytes, self.after - self.received))
        await self._closed.wait()
        raise ClosedResourceError


class EofStream(FaultStream):
    """A stream that receives the first ``after`` bytes and then EOF; sending still works."""

    def __init__(self, inner: ByteStream, after: int) -> None:
        _check_position("after", after)
        super().__init__(inner)
        self.after = after

    async def receive(self, max_bytes: int = 65536) -> bytes:
        if self.received < self.after:
            return await super().receive(min(max_bytes, self.after - self.received))
        await checkpoint()
        if self._closed.is_set():
            raise ClosedResourceError
        raise EndOfStream


class ResetStream(FaultStream):
    """A stream that breaks for good, with BrokenResourceError, at a given byte.

    Args:
        inner: the stream below.
        received: bytes that are received before a receive breaks the stream; ``None`` for never.
        sent: bytes that are sent before a send breaks the stream; ``None`` for never.
    """

    def __init__(self, inner: ByteStream, received: int | None = None, *, sent: int | None = None) -> None:
        _check_position("received", received, optional=True)
        _check_position("sent", sent, optional=True)
        super().__init__(inner)
        self.broken = False
        self._receivable = received
        self._sendable = sent

    async def receive(self, max_bytes: int = 65536) -> bytes:
        if self._receivable is not None:
            if self.received >= self._receivable:
                await self._break()
            max_bytes = min(max_bytes, self._receivable - self.received)
        await self._check()
        return await super().receive(max_bytes)

    async def send(self, item: bytes) -> None:
        await self._check()
        if self._sendable is not None:
            allowed, self._sendable = self._sendable, max(0, self._sendable - len(item))
            if len(item) > allowed:
                if allowed:
                    await self.inner.send(item[:allowed])
                await self._break()
        await self.inner.send(item)

    async def _check(self) -> None:
        if self.broken:
            await self._break()

    async def _break(self) -> None:
        self.broken = True
        await checkpoint()
        if self._closed.is_set():
            raise ClosedResourceError
        raise BrokenResourceError


def fault_layer(fault: Callable[[ByteStream], ByteStream]) -> Layer:
    """Make a layer that puts a fault on every stream: ``fault_layer(lambda stream: SplitStream(stream, 1))``."""

    def wrap(inner: Connector) -> Connector:
        async def connect(uri: Uri, /) -> ByteStream:
            stream = await inner(uri)
            async with closing_on_error(stream):
                return fault(stream)

        return connect

    return layer_fn(wrap, "fault_layer")
