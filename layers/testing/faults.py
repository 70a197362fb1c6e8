"""Streams that behave badly on purpose, over any byte stream; they can be put on one another.

Each takes the stream below first. Closing, EOF and typed attributes pass through.
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
    """Passes everything through; the base of the faults."""

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
    """Receives at most ``size`` bytes at once, and sends ``size`` bytes a write."""

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
    """Waits ``seconds`` before each receive."""

    def __init__(self, inner: ByteStream, seconds: float) -> None:
        check_seconds("seconds", seconds, zero=True, optional=False)
        super().__init__(inner)
        self.seconds = seconds

    async def receive(self, max_bytes: int = 65536) -> bytes:
        await anyio.sleep(self.seconds)
        return await super().receive(max_bytes)


class StallStream(FaultStream):
    """Gives the first ``after`` bytes that arrive and then nothing, not even EOF, until it is closed."""

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
    """Gives the first ``after`` bytes that arrive and then EOF; sending goes on working."""

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
    """Breaks for good with BrokenResourceError at a byte.

    Args:
        inner: the stream below.
        received: bytes that still arrive; the receive behind them breaks the stream. ``None``: never.
        sent: bytes that are still taken; the send that goes beyond them breaks the stream. ``None``: never.
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
    """A layer that puts a fault on every stream: ``fault_layer(lambda stream: SplitStream(stream, 1))``."""

    def wrap(inner: Connector) -> Connector:
        async def connect(uri: Uri, /) -> ByteStream:
            stream = await inner(uri)
            async with closing_on_error(stream):
                return fault(stream)

        return connect

    return layer_fn(wrap, "fault_layer")
