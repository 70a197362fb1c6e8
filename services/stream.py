"""Byte streams with counters and close callbacks, and the rule that none is left open.

`closing_on_error` is the resource rule of every layer: from the moment ``inner`` returns a stream until the layer
returns its own, any exception closes that stream. Python does not close a socket that is dropped.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast

from anyio import BusyResourceError, CancelScope, ClosedResourceError, TypedAttributeSet, typed_attribute
from anyio.abc import ByteStream
from anyio.lowlevel import checkpoint

if TYPE_CHECKING:
    from ziggurat.services.ledger import Ledger

__all__ = ["Counting", "DialAttribute", "ObservedStream", "WrappedStream", "closing_on_error", "observed"]

S = TypeVar("S", bound=ByteStream)


class DialAttribute(TypedAttributeSet):
    """Typed attributes of a dialled stream."""

    ledger: Ledger = typed_attribute()
    """The record of the dial that opened the stream."""


class closing_on_error(Generic[S]):
    """Force-close ``stream`` if the block raises anything, cancellation included.

    ``async with closing_on_error(stream): ...`` yields the stream and leaves it open on success. An exception raised
    by closing never replaces the original one.
    """

    __slots__ = ("_stream",)

    def __init__(self, stream: S) -> None:
        self._stream = stream

    async def __aenter__(self) -> S:
        return self._stream

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            return
        # Cancelled from the start, so that closing cannot wait; shielded, so that a cancellation from outside does not
        # replace the original exception.
        with CancelScope(shield=True) as scope:
            scope.cancel()
            try:
                await self._stream.aclose()
            except Exception:
                pass


class Counting(Protocol):
    """What counts the bytes of a connection."""

    bytes_sent: int
    bytes_received: int


class ObservedStream(ByteStream):
    """A stream that counts bytes and reports its end once; the base of all our streams.

    Attributes:
        bytes_sent: bytes passed by ``send``. After a hand-over to HTTP/2 it stands still; at the end what passed since
            is added. See `traffic`.
        bytes_received: the same for ``receive``.
        heir: what counts after a hand-over; ``None`` before and at the end.
        ledger: the record of its dial, also available as the typed attribute `DialAttribute.ledger`; ``None`` if the
            stream was not dialled.
    """

    def __init__(self) -> None:
        self.bytes_sent = 0
        self.bytes_received = 0
        self.ledger: Ledger | None = None
        self.heir: Counting | None = None
        self._ended = False
        self._callbacks: list[Callable[[], object]] = []

    def on_close(self, callback: Callable[[], object]) -> None:
        """Call ``callback()`` once, when the stream ends for any reason; immediately if it has ended.

        The callback runs on the event loop's thread and must not raise. Callbacks run in the order of registration.
        """
        if self._ended:
            callback()
        else:
            self._callbacks.append(callback)

    @property
    def traffic(self) -> tuple[int, int]:
        """Bytes sent and received so far, also those since a hand-over. Under TLS, plain ones."""
        sent, received, heir = self.bytes_sent, self.bytes_received, self.heir
        return (sent, received) if heir is None else (sent + heir.bytes_sent, received + heir.bytes_received)

    def report_close(self) -> None:
        """Report the end of the stream; after a hand-over the new owner calls this. Later calls have no effect."""
        self._take_over_counts()
        self._ended = True
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    @abstractmethod
    def push_back(self, data: bytes) -> None:
        """Return received bytes to the stream: `receive` returns them again, before everything else.

        For a layer that cannot know where a reply ends before it has read beyond the end. The counter takes them back.

        Raises:
            ClosedResourceError: closed here, or handed over.
            BusyResourceError: another task is receiving.
        """

    @property
    def watched(self) -> bool:
        """Whether a callback waits for the end, so that whoever takes the connection over must report it."""
        return bool(self._callbacks)

    def _take_over_counts(self) -> None:
        # The stream may outlive the connection, whose state it should not hold.
        self.bytes_sent, self.bytes_received = self.traffic
        self.heir = None

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """The typed attributes of the stream below, and the ledger."""
        ledger = self.ledger
        return {} if ledger is None else {DialAttribute.ledger: lambda: ledger}


class WrappedStream(ObservedStream):
    """Any anyio ``ByteStream`` with a ledger, counters and `on_close`. Typed attributes are forwarded."""

    def __init__(self, inner: ByteStream) -> None:
        super().__init__()
        self.inner = inner
        self._receiving = 0
        self._pushed = b""

    async def receive(self, max_bytes: int = 65536) -> bytes:
        if self._pushed:
            await checkpoint()
        if self._pushed:  # it may have been closed, or read by another task, meanwhile
            data, self._pushed = self._pushed[:max_bytes], self._pushed[max_bytes:]
        else:
            self._receiving += 1
            try:
                data = await self.inner.receive(max_bytes)
            finally:
                self._receiving -= 1
        self.bytes_received += len(data)
        return data

    def push_back(self, data: bytes) -> None:
        if self._ended:
            raise ClosedResourceError
        if self._receiving:
            raise BusyResourceError("receiving from")
        self._pushed = data + self._pushed
        self.bytes_received -= len(data)

    async def send(self, item: bytes) -> None:
        await self.inner.send(item)
        self.bytes_sent += len(item)

    async def send_eof(self) -> None:
        await self.inner.send_eof()

    async def aclose(self) -> None:
        self._pushed = b""
        try:
            await self.inner.aclose()
        finally:
            self.report_close()

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        # Any: anyio's own type for it has free type variables.
        return {**cast(Any, self.inner).extra_attributes, **super().extra_attributes}

    def __repr__(self) -> str:
        return f"WrappedStream({self.inner!r})"


def observed(stream: ByteStream) -> ObservedStream:
    """Return one of our own streams as it is, and wrap a foreign one to give it `on_close` and counters."""
    return stream if isinstance(stream, ObservedStream) else WrappedStream(stream)
