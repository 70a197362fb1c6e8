"""A caller's end of one connection: which calls may start here, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from grpclib.exceptions import StreamTerminatedError

from ziggurat.services.channel.ping_timer import PingTimer
from ziggurat.services.channel.preface import Preface
from ziggurat.services.channel.protocol import Protocol
from ziggurat.services.channel.refusal import NOT_PROCESSED, NOT_SENT, CallRefused
from ziggurat.services.channel.stream_slots import StreamSlots
from ziggurat.services.errors import one_line
from ziggurat.services.http2 import ErrorCode, HeaderFields, HeaderTemplate, error_name

if TYPE_CHECKING:
    from ziggurat.services.channel.options import ConnectionOptions
    from ziggurat.services.channel.request import Request

__all__ = ["ClientProtocol"]

PING = b"ziggurat"


class ClientProtocol(Protocol):
    """A caller's end.

    Args:
        options: its settings.
        on_settings: called once, when the peer's SETTINGS have come.
        on_draining: called once, when the peer has said that it takes no new call.
        on_lost: called once, when nothing is left of the connection, with one line on why.

    Attributes:
        foreign: whether the peer spoke something that is not HTTP/2, so that another dial will not fare better.
        refusal: why no new call may start here; ``None`` while one may.
        slots: whose turn it is, where the peer limits streams.
        too_many_pings: whether the peer has ended the connection because of our PINGs.
    """

    def __init__(
        self,
        options: ConnectionOptions,
        *,
        on_settings: Callable[[], None],
        on_draining: Callable[[], None],
        on_lost: Callable[[str], None],
    ) -> None:
        super().__init__(options, client=True)
        self.foreign = False
        self.refusal: str | None = None
        self.too_many_pings = False
        self.slots = StreamSlots(self._free_slots)
        self._on_settings = on_settings
        self._on_draining = on_draining
        self._on_lost = on_lost
        self._preface: Preface | None = Preface()
        self._keepalive: PingTimer | None = None

    # -- new calls

    @property
    def accepting(self) -> bool:
        """Whether a new call may start here, at once or when it is its turn."""
        transport = self._transport
        return self.refusal is None and not self.closing and transport is not None and not transport.is_closing()

    def has_room(self) -> bool:
        """Return whether a new call may start here at once."""
        transport = self._transport  # as in `accepting`, for a call less in each call
        if self.refusal is not None or self.closing or transport is None or transport.is_closing():
            return False
        slots, core = self.slots, self.core
        if slots.waiters or slots.granted:
            return slots.free
        return self.writable and len(core.streams) < core.max_streams  # the same when nobody waits, in fewer calls

    async def wait_turn(self) -> None:
        """Wait until a call may start here; it then must, without another ``await``.

        Raises:
            CallRefused: none may any more.
        """
        while True:
            if not self.accepting:
                raise CallRefused(f"{self.refusal or 'Connection lost'}: {NOT_SENT}")
            if self.slots.free:
                return
            await self.slots.wait()
            self.slots.used()
            if self.accepting and self._free_slots() > 0:
                return

    def start(
        self,
        stream: Request,
        template: HeaderTemplate,
        own: HeaderFields,
        fresh: HeaderFields,
        end: bool,
    ) -> None:
        """Open a stream with a request; see `Connection.open`."""
        self.core.open(stream, template, own, fresh, end)
        if self.core.exhausted:
            self.refuse_new("the connection has used up its stream numbers")
        if not self.scheduled:
            self.flush_soon()

    def _free_slots(self) -> int:
        return self.core.max_streams - len(self.core.streams) if self.writable else 0

    def refuse_new(self, reason: str) -> None:
        """Let no new call start, and tell those that wait for their turn."""
        if self.refusal is None:
            self.refusal = reason
        self.slots.wake_all()

    # -- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the preface, and begin to watch the peer."""
        super().connection_made(transport)
        if self.options.http2_keepalive_interval is not None:
            self._keepalive = PingTimer(
                self.options.http2_keepalive_interval,
                self.options.http2_keepalive_timeout,
                ping=self._ping,
                on_dead=self._dead,
            )

    def look_at(self, data: bytes) -> bytes:
        """Judge the first bytes; with keepalive, note that the peer is alive."""
        if self._keepalive is not None:
            self._keepalive.heard()
        if self._preface is not None:
            data = self._preface.feed(data)
            if self._preface.verdict is not None:
                self.foreign = not self._preface.transient
                self.failure = self._preface.verdict
                self.abort()
                return b""
            if not self._preface.done:
                return b""
            self._preface = None
        self.watched = self._keepalive is not None
        return data

    def resume_writing(self) -> None:
        """The transport takes bytes again."""
        super().resume_writing()
        self.slots.wake()

    def connection_lost(self, exc: BaseException | None) -> None:
        """End every call that is not complete, and say why."""
        if self._keepalive is not None:
            self._keepalive.stop()
            self._keepalive = None  # a cycle
        if self._preface is not None:
            self._preface.close()
            self.foreign = self.foreign or (self._preface.verdict is not None and not self._preface.transient)
            self.failure = self.failure or self._preface.verdict
        if self.failure is None and not self.closing:
            how = "closed by the peer" if exc is None else one_line(str(exc)) or type(exc).__name__
            self.failure = how if self.settings_received else f"{how} before its SETTINGS"
        super().connection_lost(exc)
        self._on_lost(self.failure or "closed")
        self._on_settings = self._on_draining = self._on_lost = _nothing
        self.slots = StreamSlots(_none_free)  # the old ones keep this object

    # -- what the core tells

    def on_settings(self) -> None:
        """The peer's SETTINGS are there, or have changed."""
        if not self.settings_received:
            self.settings_received = True
            on_settings, self._on_settings = self._on_settings, _nothing
            on_settings()
        self.slots.wake()

    def on_stream_closed(self) -> None:
        """There is room for another call; or the last one on a draining connection is over."""
        if self.refusal is None:
            if self.slots.waiters:
                self.slots.wake()
        elif not self.core.streams and not self.closing:
            self._loop.call_soon(self.close)  # the core is in the middle of something

    def on_goaway(self, last_stream_id: int, code: int, debug: bytes) -> None:
        """With NO_ERROR, calls up to ``last_stream_id`` finish; it may come more than once (RFC 9113 6.8)."""
        text = one_line(debug.decode("utf-8", "backslashreplace"))[:200]
        reason = f"GOAWAY {error_name(code)}" + (f" ({text})" if text else "")
        first = self.refusal is None
        self.refuse_new(f"The peer has sent {reason}")
        for stream in list(self.core.streams.values()):
            if stream.stream_id > last_stream_id:
                cast("Request", stream).refuse(CallRefused(f"The peer has sent {reason}: {NOT_PROCESSED}"))
        self.too_many_pings = code == ErrorCode.ENHANCE_YOUR_CALM and debug == b"too_many_pings"
        if code:
            self.failure = self.failure or reason
            self._loop.call_soon(self.fail, reason)
            return
        if first:
            self._on_draining()
        if not self.core.streams:
            self._loop.call_soon(self.close)

    # -- the end

    def fail(self, reason: str) -> None:
        """End the connection because of ``reason``."""
        self.foreign = self.foreign or (not self.settings_received and self.core.failed)
        super().fail(reason)

    def end_streams(self, reason: str) -> None:
        """End every call that is not complete with ``reason``."""
        self.refuse_new("Connection lost" if self.lost.is_set() else "Connection closed")
        for stream in list(self.core.streams.values()):
            cast("Request", stream).terminate(StreamTerminatedError(reason))

    # -- keepalive

    def _ping(self) -> bool:
        if self.closing or not (self.core.streams or self.options.http2_keepalive_while_idle):
            return False
        self.core.ping(PING)
        self.flush()
        return True

    def _dead(self) -> None:
        self.failure = f"no answer to a keepalive PING within {self.options.http2_keepalive_timeout:g} s"
        self.abort()


def _none_free() -> int:
    return 0


def _nothing(*_: object) -> None:
    """Takes the place of callbacks that would keep others alive."""
