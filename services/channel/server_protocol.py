"""A listener's end of one connection: requests become calls, and the end of it ends them all."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from grpclib.exceptions import StreamTerminatedError

from ziggurat.services.channel.protocol import Protocol
from ziggurat.services.channel.server_pings import PingRules, ServerPings
from ziggurat.services.errors import one_line
from ziggurat.services.http2 import HeaderSection, Stream, error_name

if TYPE_CHECKING:
    from ziggurat.services.channel.call_handler import CallHandler
    from ziggurat.services.channel.options import ConnectionOptions
    from ziggurat.services.channel.server_stream import ServerStream

__all__ = ["ServerProtocol"]

NO_PINGS = PingRules(interval=None)

FORGIVEN_RESETS = 100
"""Resets a second that a client may go on with: one whose calls are long and always cancelled is no attacker."""


class ServerProtocol(Protocol):
    """A listener's end.

    Args:
        handler: runs the calls. When it has been closed, and its last call has ended, the connection is closed.
        options: the settings.
        pings: when to send PINGs.

    Attributes:
        handler: as above.
        pings_in_a_row: PINGs since headers or data were sent.
    """

    def __init__(self, handler: CallHandler, options: ConnectionOptions, pings: PingRules = NO_PINGS) -> None:
        super().__init__(options, client=False)
        self.handler = handler
        self.pings_in_a_row = 0
        self._ping_rules = pings
        self._pings: ServerPings | None = None
        self._draining = False
        self._forgiven_at = self._loop.time()

    # -- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send our SETTINGS."""
        super().connection_made(transport)
        self.handler.on_closed = self.close
        if self._ping_rules.interval is not None:
            self._pings = ServerPings(self._ping_rules, self, self._dead)

    def look_at(self, data: bytes) -> bytes:
        """A second's quiet makes up for some resets."""
        seconds = int(self._loop.time() - self._forgiven_at)
        if seconds:
            self._forgiven_at += seconds
            self.core.forgive_resets(seconds * FORGIVEN_RESETS)
        return data

    def connection_lost(self, exc: BaseException | None) -> None:
        """End every call that is not complete."""
        if self._pings is not None:
            self._pings.stop()
            self._pings = None  # a cycle
        super().connection_lost(exc)
        self.handler.detach()

    # -- what the core tells

    def on_request(self, section: HeaderSection) -> Stream | None:
        """A client's request. While the handler is closing it is refused: it is safe to send it elsewhere."""
        if self.handler.closing:
            return None
        call = self.handler.open(section)
        call.attach(self)
        return call

    def on_goaway(self, last_stream_id: int, code: int, debug: bytes) -> None:
        """With NO_ERROR, the calls that are there finish, and the last one closes the connection."""
        if code:
            text = one_line(debug.decode("utf-8", "backslashreplace"))[:200]
            self.fail_soon(f"GOAWAY {error_name(code)}" + (f" ({text})" if text else ""))
            return
        self._draining = True
        if not self.core.streams:
            self._loop.call_soon(self.close)  # the core is in the middle of something

    def on_stream_closed(self) -> None:
        """The last call on a draining connection may be over."""
        if self._draining and not self.core.streams and not self.closing:
            self._loop.call_soon(self.close)

    def on_ping_ack(self, data: bytes) -> None:
        """The client is alive."""
        if self._pings is not None:
            self._pings.answered()

    # -- the end

    def end_streams(self, reason: str) -> None:
        """End every call that is not complete with ``reason``."""
        for stream in list(self.core.streams.values()):
            cast("ServerStream", stream).terminate(StreamTerminatedError(reason))

    def fail_soon(self, reason: str) -> None:
        """End the connection because of ``reason``, once the core has dealt with what it is reading."""
        if self.failure is None:
            self.failure = reason
            self._loop.call_soon(self.fail, reason)

    def _dead(self) -> None:
        self.failure = f"no answer to a keepalive PING within {self._ping_rules.timeout:g} s"
        self.abort()
