"""TLS as an asyncio transport, driven by the transport below it: no task and no buffer of its own.

The object has two faces. To the transport below it is the protocol: received bytes are decrypted inside
``data_received`` and passed on at once. To the protocol above it is the transport: ``write`` encrypts and writes at
once. Buffering, flow control and system calls stay those of the transport below.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any, cast

from ziggurat.services.tls_session import SLICE, Buffer, TlsSession, slices

__all__ = ["TlsTransport"]

LAST_WORDS = 65536
"""Bytes that are read of a connection that was lost: an alert has 24, and there may be some records before it."""

NOBODY = asyncio.Protocol()
"""Replaces the protocol after ``connection_lost``, so that neither keeps the other alive."""


class TlsTransport(asyncio.Transport, asyncio.Protocol):
    """Runs ``protocol`` over an established TLS session, from ``connection_made`` on.

    The peer's close_notify ends its direction only (RFC 8446 6.1), as does the end of the connection below: if
    ``protocol.eof_received`` returns true, writing may go on.

    Args:
        session: the handshake is complete.
        protocol: what is above.
        unread: plain bytes received before, which are passed on first.
    """

    __slots__ = (
        *("_choked", "_closing", "_cut", "_error", "_told_eof", "_told_full"),
        *("_held", "_paused", "_protocol", "_raw", "_session"),
    )

    _raw: asyncio.Transport

    def __init__(self, session: TlsSession, protocol: asyncio.Protocol, unread: bytes) -> None:
        super().__init__()
        self._session = session
        self._protocol = protocol
        self._held = unread  # plain bytes that the protocol has not got: it has paused reading
        self._paused = False
        self._choked = False  # the transport below has paused writing
        self._told_full = False  # the protocol has been told to pause writing
        self._told_eof = False
        self._cut = False  # the connection below has ended
        self._closing = False
        self._error: Exception | None = None

    # -- the protocol of the transport below

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._raw = cast(asyncio.Transport, transport)  # uvloop's is not an instance of it
        self._protocol.connection_made(self)
        self._advance(b"")

    def data_received(self, data: bytes) -> None:
        self._advance(self._session.decrypt(data))

    def eof_received(self) -> bool:
        self._cut = True
        self._advance(b"")
        return True  # keep the write side open; close() ends it after our close_notify

    def connection_lost(self, exc: Exception | None) -> None:
        if isinstance(exc, OSError) and not self._closing:
            self._hear_out()
        self._closing = True
        protocol, self._protocol = self._protocol, NOBODY
        protocol.connection_lost(self._error or exc)

    def pause_writing(self) -> None:
        self._choked = True
        self._throttle()

    def resume_writing(self) -> None:
        self._choked = False
        self._throttle()

    # -- the transport of the protocol above

    def write(self, data: Buffer) -> None:
        """Encrypt and send ``data``; ignored once closed."""
        if self._closing or not data or self._raw.is_closing():
            return
        session = self._session
        if len(data) <= SLICE:
            self._raw.write(session.encrypt(data))
        else:  # in one system call, which costs more than to join them
            self._raw.write(b"".join([session.encrypt(part) for part in slices(data)]))
        if session.backlog:
            self._throttle()
        elif session.error is not None:
            self._fail(session.error)

    def can_write_eof(self) -> bool:
        """Return ``False``: before TLS 1.3 the peer answers a close_notify by closing (RFC 5246 7.2.1)."""
        return False

    def write_eof(self) -> None:
        """Raise ``NotImplementedError``."""
        raise NotImplementedError("TLS cannot end one direction")

    def close(self) -> None:
        """Send pending data and a close_notify, then close; the peer's close_notify is not awaited."""
        if not self._closing:
            self._closing = True
            self._finish()

    def abort(self) -> None:
        """Close now and discard pending data. There is no close_notify, so the peer can tell."""
        self._closing = True
        self._session.backlog.clear()
        if self._protocol is not NOBODY:  # asyncio's raises an AttributeError once it is gone
            self._raw.abort()

    def is_closing(self) -> bool:
        return self._closing or self._raw.is_closing()

    def pause_reading(self) -> None:
        if not self._paused and not self._closing:
            self._paused = True
            self._raw.pause_reading()

    def resume_reading(self) -> None:
        if not self._paused:
            return
        self._paused = False
        if not self._closing:
            self._raw.resume_reading()
            asyncio.get_running_loop().call_soon(self._catch_up)

    def is_reading(self) -> bool:
        return not self._paused and not self.is_closing()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set when the protocol is paused and resumed, in encrypted bytes; ``None`` for the loop's defaults."""
        self._raw.set_write_buffer_limits(high, low)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._raw.get_write_buffer_limits()

    def get_write_buffer_size(self) -> int:
        return self._raw.get_write_buffer_size() + sum(map(len, self._session.backlog))

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        if not isinstance(protocol, asyncio.Protocol):
            raise TypeError(f"TlsTransport takes an asyncio.Protocol, not {protocol!r}")
        self._protocol = protocol

    def get_protocol(self) -> asyncio.Protocol:
        return self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what asyncio's own TLS transport has under ``name``, or what the transport below has."""
        tls = self._session.ssl_object
        match name:
            case "ssl_object":
                return tls
            case "sslcontext":
                return tls.context
            case "cipher":
                return tls.cipher()
            case "compression":
                return tls.compression()
            case "peercert":
                return tls.getpeercert()
            case _:
                return self._raw.get_extra_info(name, default)

    def __repr__(self) -> str:
        return f"TlsTransport({self._raw!r}{', closing' if self._closing else ''})"

    # -- how it goes on

    def _advance(self, plain: bytes) -> None:
        """Send what the session has to say, and pass on ``plain`` and then its end or error."""
        session = self._session
        if output := session.output():  # the answer to a KeyUpdate, an alert, what was in the backlog
            self._raw.write(output)
        if self._told_full:
            self._throttle()
        if self._closing:
            self._finish()
            return
        if self._held or self._paused:
            plain, self._held = self._held + plain, b""
        if self._paused:
            self._held = plain
            self._raw.pause_reading()  # a hand-over resumes it
            return
        if plain:
            self._protocol.data_received(plain)
            if self._paused or self._closing:
                return  # what came behind has to wait, or is of no interest any more
        if session.error is not None:
            self._fail(session.error)
        elif (session.ended or self._cut) and not self._told_eof:
            self._told_eof = True
            if not self._protocol.eof_received():
                self.close()

    def _catch_up(self) -> None:
        """Pass on what came while reading was paused."""
        if self._raw.is_closing():
            return
        try:
            self._advance(b"")
        except Exception as error:
            # A bug in the protocol: report it and hang up, as asyncio's transports do.
            message = "Fatal error: the protocol failed on received data."
            asyncio.get_running_loop().call_exception_handler(
                {"message": message, "exception": error, "transport": self, "protocol": self._protocol}
            )
            self._error = error
            self.abort()

    def _throttle(self) -> None:
        full = self._choked or bool(self._session.backlog)
        if full is not self._told_full:
            self._told_full = full
            (self._protocol.pause_writing if full else self._protocol.resume_writing)()

    def _finish(self) -> None:
        """Close, unless there is data that the peer still has to make room for."""
        session = self._session
        if session.closed or (session.backlog and not self._cut):
            return
        session.close()
        if not self._raw.is_closing():
            self._raw.write(session.output())
            self._raw.close()

    def _hear_out(self) -> None:
        """Look for an alert among what the system still has for us.

        A peer that refuses our certificate under TLS 1.3 says so after our handshake, and hangs up. If we have written
        meanwhile, that write fails, and asyncio does not read what came before.
        """
        sock = self._raw.get_extra_info("socket")
        if sock is None or not isinstance(sock.fileno(), int):  # a socket in memory, of a test
            return
        try:
            with socket.fromfd(sock.fileno(), sock.family, sock.type) as same:
                data = same.recv(LAST_WORDS)
        except OSError:  # there is nothing
            return
        plain = self._session.decrypt(data)
        self._error = self._session.error
        if plain and not self._paused and not self._held:
            self._protocol.data_received(plain)

    def _fail(self, error: Exception) -> None:
        self._closing = True
        self._error = error
        # Later, since uvloop writes our alert at the end of this turn of the loop. close() would wait for the peer.
        asyncio.get_running_loop().call_soon(self.abort)
