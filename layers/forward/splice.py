"""Relay between two asyncio transports: what one receives is written to the other inside ``data_received``.

No task, no queue, no copy: a relay of two loops of receive and send costs three times as much for each read. One
direction buffers at most what the transport below reads at once (256 KiB), since reading stops as soon as the system
does not take everything, until it has taken all of it.
"""

from __future__ import annotations

import asyncio
from typing import cast

from anyio import CancelScope

from ziggurat.layers.forward.connection import ForwardedConnection
from ziggurat.layers.forward.reset import abort
from ziggurat.services.transport_stream import TransportStream

__all__ = ["splice"]


async def splice(
    client: TransportStream,
    target: TransportStream,
    record: ForwardedConnection,
    early: bytes = b"",
    idle_timeout: float | None = None,
) -> None:
    """Relay both ways until both sides have ended, and close both; ``record`` is kept up to date.

    The end of one side is passed on, and the other direction goes on as long as it likes. A side that breaks, the
    limit and a cancellation reset both connections, and ``record.error`` says which it was.

    Args:
        client: nothing may be using it; the relay owns it from now on.
        target: likewise.
        record: counts the bytes.
        early: what was received from the client before.
        idle_timeout: seconds without a byte in either direction after which the relay ends; ``None`` for no limit.

    Raises:
        BrokenResourceError, ClosedResourceError: one of the streams was lost before; both must still be closed.
    """
    relay = _Relay(record, idle_timeout)
    relay.up.stream, relay.down.stream = client, target
    relay.up.held.append(early)
    try:
        client.hand_over(relay.up)
        target.hand_over(relay.down)
    except BaseException:
        relay.cut(None)
        raise
    relay.start()
    try:
        await asyncio.wait([relay.done])  # which, unlike a bare await, does not cancel it
    except BaseException:
        relay.cut("cut off when the forwarder stopped")
        with CancelScope(shield=True):
            await asyncio.wait([relay.done])  # an aborted transport reports its end in the next round of the loop
        raise


class _End(asyncio.Protocol):
    """One end of the relay. What it receives goes to ``other``."""

    __slots__ = (
        "blocked",
        "break_when_sent",
        "ended",
        "held",
        "held_end",
        "lost",
        "other",
        "relay",
        "stream",
        "transport",
    )

    stream: TransportStream
    other: _End

    def __init__(self, relay: _Relay) -> None:
        self.relay = relay
        self.transport: asyncio.Transport | None = None
        self.held: list[bytes] = []  # received before the other end has a transport
        self.held_end = False
        self.blocked = False  # the system does not take what is written to this end
        self.break_when_sent = False
        self.ended = False  # the peer has ended its direction
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(0)
        # The transport has told the protocol before this one that it is full, and will not say so again.
        self.blocked = self.transport.get_write_buffer_size() > 0
        other = self.other
        held, other.held = other.held, []
        for data in held:
            if data:
                other.count(len(data))
                self.transport.write(data)
        if other.held_end:
            self.transport.write_eof()

    def data_received(self, data: bytes) -> None:
        transport = self.other.transport
        if transport is None:
            self.held.append(data)
        elif not transport.is_closing():
            self.count(len(data))
            transport.write(data)

    def count(self, size: int) -> None:
        record = self.relay.record
        if self is self.relay.up:
            record.sent += size
        else:
            record.received += size
        record.last_active = self.relay.loop.time()

    def eof_received(self) -> bool:
        self.ended = True
        other = self.other
        if other.transport is None:
            self.held_end = True
        elif other.ended:
            self.relay.finish()
        elif not other.transport.is_closing():
            other.transport.write_eof()  # after what is still to be written
        return True  # keep the other direction

    def pause_writing(self) -> None:
        self.blocked = True
        if self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        self.blocked = False
        self.relay.record.last_active = self.relay.loop.time()  # the peer has taken everything
        if self.break_when_sent:
            # Not from within: asyncio's transport would report its end twice.
            self.relay.loop.call_soon(abort, cast(asyncio.Transport, self.transport))
        elif self.other.transport is not None and not self.other.ended and not self.other.transport.is_closing():
            self.other.transport.resume_reading()

    def break_off(self) -> None:
        """Reset the connection, after what waits here is the system's. What the system has not sent by then is lost."""
        if self.transport is None or self.lost:
            return
        if self.blocked:
            self.break_when_sent = True
        else:
            abort(self.transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self.stream.report_close()
        self.relay.lost(self, exc)


class _Relay:
    def __init__(self, record: ForwardedConnection, idle_timeout: float | None) -> None:
        self.record = record
        self.loop = asyncio.get_running_loop()
        self.done: asyncio.Future[None] = self.loop.create_future()
        self.idle_timeout = idle_timeout
        self.timer: asyncio.TimerHandle | None = None
        self.finished = False  # both sides have ended
        self.up, self.down = _End(self), _End(self)
        self.up.other, self.down.other = self.down, self.up

    def start(self) -> None:
        for end in (self.up, self.down):
            # A hand-over ends with resume_reading(), even if its replay has filled the other end.
            if end.blocked and end.other.transport is not None:
                end.other.transport.pause_reading()
        if self.up.ended and self.down.ended:
            self.finish()
        if self.idle_timeout is not None:
            self.timer = self.loop.call_later(self.idle_timeout, self._check_idle)

    def finish(self) -> None:
        self.finished = True
        for end in (self.up, self.down):
            if end.transport is not None:
                end.transport.close()  # after what is still to be written

    def cut(self, why: str | None) -> None:
        """Reset both connections."""
        if self.record.error is None:
            self.record.error = why
        for end in (self.up, self.down):
            if end.transport is not None and not end.lost:
                abort(end.transport)

    def lost(self, end: _End, error: Exception | None) -> None:
        if not self.finished and self.record.error is None:
            side = "client" if end is self.up else "target"
            self.record.error = f"the {side} broke the connection"
        if error is not None or not self.finished:
            end.other.break_off()
        if self.up.lost and self.down.lost:
            if self.timer is not None:
                self.timer.cancel()
            if not self.done.done():
                self.done.set_result(None)

    def _check_idle(self) -> None:
        assert self.idle_timeout is not None
        left = self.record.last_active + self.idle_timeout - self.loop.time()
        if left > 0:
            self.timer = self.loop.call_later(left, self._check_idle)
        else:
            self.cut(f"idle for {self.idle_timeout:g} s")
