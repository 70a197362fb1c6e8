"""A byte stream on an asyncio transport that can be handed over to a protocol without copying or losing data.

A transport reads up to 256 KiB at once, so a reader of exactly ten bytes of a proxy's reply may find the target's first
bytes queued behind them. `TransportStream.hand_over` replays the queue before the transport reads on; taking the socket
away from the transport would lose it. Only asyncio's public interface is used.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, cast

from anyio import BrokenResourceError, BusyResourceError, ClosedResourceError, EndOfStream
from anyio.lowlevel import checkpoint, checkpoint_if_cancelled

from ziggurat.services.socket_attributes import socket_attributes
from ziggurat.services.stream import ObservedStream

__all__ = ["StreamProtocol", "TransportStream"]

HIGH_WATER = 65536
"""Unread bytes at which reading pauses: one `receive` of anyio's default size."""


class StreamProtocol(asyncio.Protocol):
    """The asyncio side of a `TransportStream`: queues received data and wakes waiting tasks."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.chunks: deque[bytes] = deque()
        self.waiting = 0  # unread bytes in chunks
        self.eof = False
        self.lost = False
        self.error: Exception | None = None
        self.reader: asyncio.Future[None] | None = None
        self.writer: asyncio.Future[None] | None = None
        self.write_paused = False
        self.read_paused = False
        self.on_lost: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        # send() returns once the kernel has the bytes, so that a slow peer slows the sender down.
        self.transport.set_write_buffer_limits(0)

    def data_received(self, data: bytes) -> None:
        self.chunks.append(data)
        self.waiting += len(data)
        if self.waiting > HIGH_WATER and self.transport is not None:
            self.read_paused = True
            self.transport.pause_reading()
        self.wake(self.reader)

    def eof_received(self) -> bool:
        self.eof = True
        self.wake(self.reader)
        return True  # keep the write side open

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self.error = exc
        self.wake(self.reader)
        self.wake(self.writer)
        if self.on_lost is not None:
            on_lost, self.on_lost = self.on_lost, None  # a cycle
            on_lost()

    def pause_writing(self) -> None:
        self.write_paused = True

    def resume_writing(self) -> None:
        self.write_paused = False
        self.wake(self.writer)

    @staticmethod
    def wake(waiter: asyncio.Future[None] | None) -> None:
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


HANDED_OVER = StreamProtocol()
"""The protocol of every stream after its hand-over: its own, with an empty deque, would take a kilobyte for as long as
the connection lives."""


class TransportStream(ObservedStream):
    """A connected TCP or unix stream on asyncio, as returned by the leaves.

    Exact reads are safe: ``receive(n)`` leaves bytes beyond ``n`` in the stream's queue.
    """

    def __init__(self, transport: asyncio.Transport, protocol: StreamProtocol) -> None:
        super().__init__()
        self._transport = transport
        self._protocol = protocol
        self._offset = 0  # into the first chunk; cutting the chunk at each small read would copy its tail every time
        self._spent = False
        self._sending = False
        self._sent_in_a_row = 0
        protocol.on_lost = self.report_close

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Return 1 to ``max_bytes`` received bytes, waiting for the first one.

        Raises:
            EndOfStream: the peer has ended its side.
            BrokenResourceError: the connection was lost; the cause is the system's error.
            ClosedResourceError: closed here, or handed over.
            BusyResourceError: another task is receiving.
        """
        protocol = self._protocol
        # With bytes in the queue there is no need to yield: the queue is bounded, and only the loop refills it. With an
        # empty queue the wait below is the checkpoint.
        if protocol.waiting or protocol.eof or protocol.lost or self._spent:
            await checkpoint_if_cancelled()
        while not protocol.waiting:
            self._check_open()
            if protocol.reader is not None:
                raise BusyResourceError("receiving from")
            if protocol.lost and protocol.error is not None:
                raise BrokenResourceError from protocol.error
            if protocol.eof or protocol.lost:
                raise EndOfStream
            protocol.reader = asyncio.get_running_loop().create_future()
            try:
                await protocol.reader
            finally:
                protocol.reader = None
        self._check_open()
        return self._take(max_bytes)

    def push_back(self, data: bytes) -> None:
        """As `ObservedStream.push_back`; a hand-over replays the bytes, too."""
        protocol = self._protocol
        self._check_open()
        if protocol.reader is not None:
            raise BusyResourceError("receiving from")
        if data:
            if self._offset:
                protocol.chunks[0], self._offset = protocol.chunks[0][self._offset :], 0
            protocol.chunks.appendleft(data)
            protocol.waiting += len(data)
            self.bytes_received -= len(data)

    async def send(self, item: bytes) -> None:
        """Send all of ``item`` and wait until the system has accepted it.

        Raises:
            BrokenResourceError: the connection was lost; the cause is the system's error.
            ClosedResourceError: closed here, or handed over.
            BusyResourceError: another task is sending.
        """
        protocol = self._protocol
        self._check_open()
        if self._sending:
            raise BusyResourceError("sending to")
        if protocol.lost:
            raise BrokenResourceError from protocol.error
        await checkpoint_if_cancelled()
        self._sending = True  # protocol.writer is not enough: another task may run before it is set
        try:
            self._transport.write(item)
            self.bytes_sent += len(item)
            self._sent_in_a_row += len(item)
            if self._sent_in_a_row > HIGH_WATER:
                # With a peer that reads as fast as we write, no other task would ever run.
                self._sent_in_a_row = 0
                await checkpoint()
            while protocol.write_paused and not protocol.lost:
                protocol.writer = asyncio.get_running_loop().create_future()
                await protocol.writer
        finally:
            protocol.writer = None
            self._sending = False
        if protocol.lost:
            self._check_open()
            raise BrokenResourceError from protocol.error

    def send_nowait(self, item: bytes) -> None:
        """Send ``item`` without waiting, even while a task is sending; ignored once the stream is closed or lost.

        For short messages that a protocol on this stream owes its peer.
        """
        if item and not self._spent and not self._transport.is_closing():
            self._transport.write(item)
            self.bytes_sent += len(item)

    async def send_eof(self) -> None:
        """End our side; the peer may go on sending."""
        self._check_open()
        if self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()
        await checkpoint()

    async def aclose(self) -> None:
        """Close at once; what the system has accepted is still delivered. After a hand-over this does nothing."""
        if not self._spent:
            self._spent = True
            if not self._transport.is_closing():
                if self._transport.can_write_eof():
                    try:
                        self._transport.write_eof()
                    except OSError:
                        pass  # the peer closed first
                self._transport.close()
            self._transport.abort()
            self._protocol.wake(self._protocol.reader)
            self._protocol.wake(self._protocol.writer)
            self.report_close()
        await checkpoint()

    def hand_over(self, protocol: asyncio.Protocol) -> asyncio.Transport:
        """Give the transport to ``protocol``, after replaying the received and unread bytes to it, in order.

        The stream cannot be used afterwards. ``protocol.connection_lost`` must call `report_close` of this stream, for
        its `on_close` callbacks.

        Raises:
            ClosedResourceError: closed here, or already handed over.
            BrokenResourceError: the connection was lost.
            BusyResourceError: a task is receiving or sending.
        """
        ours, transport = self._protocol, self._transport
        self._check_open()
        if ours.lost or transport.is_closing():
            raise BrokenResourceError from ours.error
        if ours.reader is not None or self._sending:
            raise BusyResourceError("using")
        self._spent = True
        try:
            self._replay(protocol)
        except BaseException:
            transport.abort()  # otherwise it leaks: this stream is spent, and the protocol did not take over
            raise
        return transport

    def _replay(self, protocol: asyncio.Protocol) -> None:
        ours, transport = self._protocol, self._transport
        transport.pause_reading()  # new data must not overtake the replay
        transport.set_write_buffer_limits()  # back to the loop's default
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if self._offset:
            ours.chunks[0] = ours.chunks[0][self._offset :]
        while ours.chunks and not transport.is_closing():
            protocol.data_received(ours.chunks.popleft())
        self._protocol = HANDED_OVER
        ours.on_lost = None  # a cycle; the new protocol reports the end
        if transport.is_closing():
            return
        if not ours.eof:
            transport.resume_reading()
        elif not protocol.eof_received():
            transport.close()

    def _take(self, max_bytes: int) -> bytes:
        protocol = self._protocol
        head, start = protocol.chunks[0], self._offset
        if start or len(head) > max_bytes:
            data = head[start : start + max_bytes]
            self._offset = start + len(data)
        else:
            data, self._offset = head, len(head)
        if self._offset >= len(head):
            protocol.chunks.popleft()
            self._offset = 0
        protocol.waiting -= len(data)
        self.bytes_received += len(data)
        if protocol.read_paused and protocol.waiting <= HIGH_WATER:
            protocol.read_paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()
        return data

    @property
    def readable(self) -> bool:
        """Whether `receive` would return or raise at once. An idle connection that is readable has ended."""
        return self._spent or self._protocol.waiting > 0 or self._protocol.eof or self._protocol.lost

    def _check_open(self) -> None:
        if self._spent:
            raise ClosedResourceError

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """anyio's `SocketAttribute` values and the ledger."""
        return {**super().extra_attributes, **socket_attributes(self._transport)}

    @property
    def is_self_connected(self) -> bool:
        """Whether both ends have one address, and so are one socket."""
        get = self._transport.get_extra_info
        local = get("sockname")
        return bool(local) and local == get("peername")

    def __repr__(self) -> str:
        peer = self._transport.get_extra_info("peername")
        return f"TransportStream(to {peer!r}{', spent' if self._spent else ''})"
