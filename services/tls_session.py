"""The client's side of one TLS connection, sans-IO: received bytes in, plain bytes out, and the reverse.

OpenSSL works on two memory BIOs; nothing here waits. Two properties of OpenSSL shape this module. A read returns at
most one record (16 KiB, RFC 8446 5.1). A write may have to wait for the peer, during a renegotiation that the peer
began (TLS 1.2, RFC 5246 7.4.1.1), and must then be repeated with the same bytes.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import TypeAlias

__all__ = ["SLICE", "Buffer", "TlsSession", "slices"]

Buffer: TypeAlias = bytes | bytearray | memoryview

RECORD = 16384
"""Plain bytes of the largest record."""

SLICE = 32768
"""Bytes given to OpenSSL at once. A memory BIO never shrinks: at 256 KiB at once, as asyncio reads them, each
connection would keep 350 KiB. Smaller slices cost more time."""


class TlsSession:
    """One TLS connection.

    Args:
        ssl_object: made by ``SSLContext.wrap_bio`` with the two others.
        incoming: what OpenSSL reads.
        outgoing: what OpenSSL writes.

    Attributes:
        ssl_object: OpenSSL's state, for its properties.
        ended: the peer has sent its close_notify: nothing more will be received (RFC 8446 6.1).
        closed: we have sent ours: nothing more can be sent.
        error: the error that broke the connection, e.g. an alert of the peer or a bad record; ``None`` while none has.
        backlog: plain bytes that wait for the peer, in order; empty except during a renegotiation.
    """

    __slots__ = ("_incoming", "_outgoing", "backlog", "closed", "ended", "error", "ssl_object")

    def __init__(self, ssl_object: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> None:
        self.ssl_object = ssl_object
        self.ended = False
        self.closed = False
        self.error: ssl.SSLError | None = None
        self.backlog: list[bytes] = []
        self._incoming = incoming
        self._outgoing = outgoing

    def handshake(self, data: bytes = b"") -> bool:
        """Take received bytes and do the handshake's next steps; return whether it is complete. See `output`.

        Raises:
            ssl.SSLError: the handshake failed; `output` has our alert, if any.
        """
        self._incoming.write(data)
        try:
            self.ssl_object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def decrypt(self, data: bytes) -> bytes:
        """Take received bytes and return the plain bytes of all records that are complete.

        Look at `ended`, `error` and `output` afterwards; the returned bytes came before the end or the error.
        """
        chunks: list[bytes] = []
        for part in slices(data):
            if self.ended or self.error is not None:
                break
            self._incoming.write(part)
            self._read(chunks)
        if self.backlog and self.error is None:
            self._retry()
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def encrypt(self, data: Buffer) -> bytes:
        """Take plain bytes, best at most one of the `slices`, and return what is to be sent, as `output` does.

        Look at `error` afterwards. Bytes that have to wait for the peer are in `backlog` and go out by themselves.
        """
        if self.backlog:
            self.backlog.append(bytes(data))
        else:
            self._write(data)
        return self._outgoing.read()

    def close(self) -> None:
        """Send our close_notify (`output`), without waiting for the peer's. What is in `backlog` is lost."""
        if self.closed:
            return
        self.closed = True
        self.backlog = []
        try:
            self.ssl_object.unwrap()
        except ssl.SSLError:
            pass  # it would have us wait for the peer's; or the connection is broken already

    def output(self) -> bytes:
        """Return what is to be sent to the peer: records, alerts, handshake messages; empty if nothing is."""
        return self._outgoing.read() if self._outgoing.pending else b""

    def _read(self, chunks: list[bytes]) -> None:
        tls, incoming = self.ssl_object, self._incoming
        try:
            while True:
                chunk = tls.read(RECORD)
                if not chunk:
                    self.ended = True
                    return
                chunks.append(chunk)
                if not incoming.pending and not tls.pending():
                    return  # cheaper than another read, which would raise
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.ended = True
        except ssl.SSLError as error:
            self._break(error)

    def _write(self, data: Buffer) -> None:
        try:
            self.ssl_object.write(data)  # takes all: a memory BIO has no limit
        except ssl.SSLWantReadError:
            self.backlog.append(bytes(data))
        except ssl.SSLError as error:
            self._break(error)

    def _retry(self) -> None:
        waiting, self.backlog = self.backlog, []
        for data in waiting:
            if self.backlog:
                self.backlog.append(data)  # it waits again
            else:
                self._write(data)

    def _break(self, error: ssl.SSLError) -> None:
        self.error = error.with_traceback(None)  # its frames refer to this object
        self.backlog = []


def slices(data: Buffer) -> Iterator[Buffer]:
    """Yield the pieces in which OpenSSL takes ``data`` with little memory; an empty one once."""
    if len(data) <= SLICE:
        yield data
        return
    view = memoryview(data).cast("B")
    for start in range(0, len(view), SLICE):
        yield view[start : start + SLICE]
