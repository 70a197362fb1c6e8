"""Our own TLS stream, which can be handed over to a protocol like the `TransportStream` below it.

It ends with the connection below, with or without the peer's close_notify, and closing does not wait for the peer's:
anyio calls this ``standard_compatible=False``. Many servers just close, and HTTP/2's framing reveals a truncated
connection (RFC 9112 9.8 and RFC 9113 leave this to the protocol above).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from typing import Any

from anyio import BrokenResourceError, BusyResourceError, ClosedResourceError, EndOfStream
from anyio.lowlevel import checkpoint_if_cancelled
from anyio.streams.tls import TLSAttribute
from anyio.to_thread import run_sync

from ziggurat.services.stream import ObservedStream
from ziggurat.services.tls_session import TlsSession, slices
from ziggurat.services.tls_transport import TlsTransport
from ziggurat.services.transport_stream import TransportStream

__all__ = ["TlsStream", "new_session"]


class TlsStream(ObservedStream):
    """The client's end of TLS over a `TransportStream`, on asyncio; made by `wrap`.

    Its end is that of the stream below, so both report it together. The counters count plain bytes.
    """

    def __init__(self, inner: TransportStream, session: TlsSession) -> None:
        super().__init__()
        self._inner = inner
        self._session = session
        self._unread = b""
        self._offset = 0  # into the unread bytes
        self._spent = False
        self._receiving = False
        self._sending = False
        self._reads = 0
        self._reading = asyncio.Lock()

    @classmethod
    async def wrap(cls, inner: TransportStream, context: ssl.SSLContext, name: str) -> TlsStream:
        """Do the handshake over ``inner`` with the server ``name``, as ``context`` says.

        The caller must close ``inner`` after an error.

        Args:
            inner: nothing else may use it from now on.
            context: a client's; never changed.
            name: ASCII; sent as SNI (RFC 6066 3) unless it is an address, and verified if ``context`` does so.

        Raises:
            ssl.SSLError: certificate, name, or the peer's messages were not accepted, or the peer sent an alert.
            EndOfStream, BrokenResourceError, ClosedResourceError: from ``inner``.
            ValueError: ``name`` cannot be a server name; nothing was sent.
        """
        session = await new_session(context, name)
        data = b""
        try:
            while not session.handshake(data):
                await inner.send(session.output())
                data = await inner.receive()
        except ssl.SSLError:
            inner.send_nowait(session.output())  # our alert, so that the peer knows why
            raise
        await inner.send(session.output())
        stream = cls(inner, session)
        stream._take_in(b"")  # what came in the same read as the handshake's end
        return stream

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Return 1 to ``max_bytes`` received bytes, waiting for the first one.

        Raises:
            EndOfStream: the peer has ended its side, by close_notify or by closing the connection.
            BrokenResourceError: the cause is an ``ssl.SSLError`` (a bad record, or an alert, under TLS 1.3 also one
                that refuses our certificate), or the system's error if the connection was lost.
            ClosedResourceError: closed here, or handed over.
            BusyResourceError: another task is receiving.
        """
        if self._receiving:
            raise BusyResourceError("receiving from")
        await checkpoint_if_cancelled()
        self._check_open()
        self._receiving = True
        try:
            while not self._unread:
                if self._session.error is not None:
                    raise BrokenResourceError from self._session.error
                if self._session.ended:
                    raise EndOfStream
                await self._fill()
        finally:
            self._receiving = False
        return self._take(max_bytes)

    def push_back(self, data: bytes) -> None:
        """As `ObservedStream.push_back`; a hand-over replays the bytes, too."""
        self._check_open()
        if self._receiving:
            raise BusyResourceError("receiving from")
        self._unread, self._offset = data + self._unread[self._offset :], 0
        self.bytes_received -= len(data)

    async def send(self, item: bytes) -> None:
        """Send all of ``item`` and wait until the system has accepted it.

        Raises:
            BrokenResourceError: as for `receive`.
            ClosedResourceError: closed here, ended by `send_eof`, or handed over.
            BusyResourceError: another task is sending.
        """
        session = self._session
        self._check_open()
        if self._sending:
            raise BusyResourceError("sending to")
        if session.closed:
            raise ClosedResourceError
        self._sending = True
        try:
            for part in slices(item):
                # Now, since a record must not be lost between here and the write: the peer could read no later one.
                await checkpoint_if_cancelled()
                await self._inner.send(session.encrypt(part))
                while session.backlog:
                    await self._fill()
                if session.error is not None:
                    raise BrokenResourceError from session.error
                self.bytes_sent += len(part)
        except EndOfStream as error:
            raise BrokenResourceError from error
        finally:
            self._sending = False

    async def send_eof(self) -> None:
        """Send our close_notify; the peer may go on sending (RFC 8446 6.1).

        Raises:
            NotImplementedError: before TLS 1.3, where the peer must close as soon as it sees ours (RFC 5246 7.2.1).
        """
        self._check_open()
        if self._session.ssl_object.version() != "TLSv1.3":
            raise NotImplementedError(f"{self._session.ssl_object.version()} cannot end one direction")
        await checkpoint_if_cancelled()
        self._close_session()

    async def aclose(self) -> None:
        """Send a close_notify and close, without waiting for the peer's. After a hand-over this does nothing."""
        if not self._spent:
            self._spent = True
            self._close_session()
        await self._inner.aclose()

    def hand_over(self, protocol: asyncio.Protocol) -> asyncio.Transport:
        """Give the connection to ``protocol`` and return its transport, which encrypts.

        Received and unread bytes are replayed first, in order. From then on ``protocol`` is called from within the
        calls of the transport below. ``connection_lost`` gets the ``ssl.SSLError`` if one ends the connection.

        The stream cannot be used afterwards. ``protocol.connection_lost`` must call `report_close` of this stream, for
        the `on_close` callbacks of this stream and the one below.

        Raises:
            ClosedResourceError: closed here, or already handed over.
            BrokenResourceError: the connection was lost.
            BusyResourceError: a task is receiving or sending.
        """
        self._check_open()
        if self._receiving or self._sending:
            raise BusyResourceError("using")
        self._spent = True
        transport = TlsTransport(self._session, protocol, self._unread[self._offset :])
        self._unread = b""
        self._inner.hand_over(transport)
        return transport

    def on_close(self, callback: Callable[[], object]) -> None:
        """As `ObservedStream.on_close`; the callbacks of the stream below and of this one have one order."""
        self._inner.on_close(callback)

    def report_close(self) -> None:
        """Report the end of this stream and of the one below; after a hand-over the new owner calls this."""
        self._take_over_counts()
        self._inner.report_close()

    @property
    def watched(self) -> bool:
        return self._inner.watched

    @property
    def readable(self) -> bool:
        """Whether `receive` has something to return or to raise, or there are records that it has not decrypted yet."""
        session = self._session
        return bool(self._unread) or session.ended or session.error is not None or self._inner.readable

    async def _fill(self) -> None:
        """Receive once from the stream below, unless another task did so meanwhile: a send may have to, too."""
        reads = self._reads
        async with self._reading:
            if reads == self._reads:
                data = await self._inner.receive()
                self._reads += 1
                self._take_in(data)

    def _take_in(self, data: bytes) -> None:
        self._unread += self._session.decrypt(data)
        self._inner.send_nowait(self._session.output())

    def _take(self, max_bytes: int) -> bytes:
        unread, start = self._unread, self._offset
        data = unread[start : start + max_bytes]
        self._offset = start + len(data)
        if self._offset == len(unread):
            self._unread, self._offset = b"", 0
        self.bytes_received += len(data)
        return data

    def _close_session(self) -> None:
        self._session.close()
        self._inner.send_nowait(self._session.output())

    def _check_open(self) -> None:
        if self._spent:
            raise ClosedResourceError

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """anyio's `TLSAttribute` values, those of the stream below, and the ledger."""
        tls = self._session.ssl_object
        attribute: Any = TLSAttribute  # the types of some are not hashable
        return {
            **self._inner.extra_attributes,
            **super().extra_attributes,
            attribute.alpn_protocol: tls.selected_alpn_protocol,
            attribute.channel_binding_tls_unique: tls.get_channel_binding,
            attribute.cipher: tls.cipher,
            attribute.peer_certificate: lambda: tls.getpeercert(False),
            attribute.peer_certificate_binary: lambda: tls.getpeercert(True),
            attribute.server_side: lambda: False,
            attribute.shared_ciphers: lambda: None,
            attribute.ssl_object: lambda: tls,
            attribute.standard_compatible: lambda: False,
            attribute.tls_version: tls.version,
        }

    def __repr__(self) -> str:
        return f"TlsStream({self._inner!r})"


async def new_session(context: ssl.SSLContext, name: str) -> TlsSession:
    """Return a client's session with the server ``name`` (ASCII), before its handshake.

    Raises:
        ValueError: ``name`` cannot be a server name.
    """
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    host = name.encode("ascii")  # as bytes: the ssl module encodes a str by IDNA 2003
    if type(context) is ssl.SSLContext:
        tls = context.wrap_bio(incoming, outgoing, False, host)
    else:  # a subclass may read the system's trust store here, as some do
        tls = await run_sync(context.wrap_bio, incoming, outgoing, False, host)
    return TlsSession(tls, incoming, outgoing)
