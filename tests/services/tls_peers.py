"""The far end of TLS, for tests of our own: a server whose every byte the test controls."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import async_solipsism
import trustme
from anyio.lowlevel import checkpoint
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from ziggurat.services import TlsStream, TransportStream
from ziggurat.services.transport_stream import StreamProtocol

NAME = "target.example"
CA = trustme.CA()
CERTIFICATE = CA.issue_cert(NAME)

HANDSHAKE, DATA = 22, 23  # RFC 8446 5.1


def trusting(*, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """Return a client's context."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies; loads no system certificates, which takes long
    CA.configure_trust(context)
    context.set_alpn_protocols(["h2"])
    if version is not None:
        context.maximum_version = version
    return context


def serving(*, tickets: int = 0, authority: trustme.CA | None = None) -> ssl.SSLContext:
    """Return a server's context; with ``authority`` it requires a client certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CERTIFICATE.configure_cert(context)
    context.set_alpn_protocols(["h2"])
    context.num_tickets = tickets
    if authority is not None:
        authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


class Peer:
    """A server, sans-IO.

    Attributes:
        tls: OpenSSL's state.
        received: plain bytes received so far.
        ended: the client has sent its close_notify.
        alert: the error that the client's alert raised here.
    """

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = (context or serving()).wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.received = bytearray()
        self.complete = False
        self.ended = False
        self.alert: ssl.SSLError | None = None

    def feed(self, data: bytes) -> bytes:
        """Take the client's bytes; return what to send to it."""
        self.incoming.write(data)
        try:
            if not self.complete:
                self.tls.do_handshake()
                self.complete = True
            while not self.ended:
                self.received += (chunk := self.tls.read(65536))
                self.ended = not chunk
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.ended = True
        except ssl.SSLError as error:
            self.alert = error
        return self.outgoing.read()

    def records(self, data: bytes) -> bytes:
        """Return ``data`` encrypted."""
        self.tls.write(data)
        return self.outgoing.read()

    def close_notify(self) -> bytes:
        try:
            self.tls.unwrap()
        except ssl.SSLError:
            pass
        return self.outgoing.read()


class Far(Peer):
    """The same on a socket in memory.

    Attributes:
        sent: bytes that it has sent.
        limit: send no more than so many bytes, and then hang up; if negative, leave out so many of the first piece.
        hung_up: the client has ended the connection.
    """

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        super().__init__(context)
        self.sent = 0
        self.limit: int | None = None
        self.hung_up = False
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter

    def send(self, data: bytes) -> None:
        """Send these encrypted bytes in one piece."""
        if self.limit is not None and self.limit < 0:
            self.limit += len(data)
        if self.limit is not None and self.sent + len(data) >= self.limit:
            data = data[: self.limit - self.sent]
        self.sent += len(data)
        if data:
            self.writer.write(data)
        if self.sent == self.limit:
            self.writer.close()

    async def serve(self) -> None:
        """Answer the client until it hangs up."""
        while data := await self.reader.read(65536):
            self.send(self.feed(data))
        self.hung_up = True


@asynccontextmanager
async def connected(
    far: Far | None = None, *, capacity: int | None = None, serve: bool = True
) -> AsyncIterator[tuple[TransportStream, Far]]:
    """Connect our stream to a server; with ``serve`` it answers by itself."""
    far = far or Far()
    near_socket, far_socket = async_solipsism.socketpair(capacity=capacity)
    stream = TransportStream(*await asyncio.get_running_loop().create_connection(StreamProtocol, sock=near_socket))
    far.reader, far.writer = await asyncio.open_connection(sock=far_socket)
    serving = asyncio.create_task(far.serve()) if serve else None
    try:
        yield stream, far
    finally:
        await stream.aclose()
        if serving is not None:
            serving.cancel()
            try:
                await serving
            except asyncio.CancelledError:
                pass
        if stream._transport.is_reading():
            stream._transport.abort()
        far.writer.transport.abort()
        for _ in range(4):
            await checkpoint()


@asynccontextmanager
async def secured(
    far: Far | None = None, context: ssl.SSLContext | None = None, *, capacity: int | None = None
) -> AsyncIterator[tuple[TlsStream, Far]]:
    """The same after the handshake."""
    async with connected(far, capacity=capacity) as (inner, far):
        stream = await TlsStream.wrap(inner, context or trusting(), NAME)
        await until(lambda: far.complete or far.alert)  # a server's handshake ends after its client's
        yield stream, far
        await stream.aclose()


async def until(condition: Callable[[], object]) -> None:
    """Wait, one cycle of the loop at a time, until a condition holds."""
    for _ in range(100_000):
        if condition():
            return
        await checkpoint()
    raise AssertionError("it did not come to pass")


def record_lengths(data: bytes) -> list[int]:
    """Return the lengths of the records in ``data`` (RFC 8446 5.1)."""
    lengths: list[int] = []
    while data:
        lengths.append(int.from_bytes(data[3:5], "big"))
        data = data[5 + lengths[-1] :]
    return lengths


class Forger:
    """Makes a server's TLS 1.3 records, which the ssl module cannot ask for (RFC 8446 5.2, 7.2, 7.3).

    Args:
        keys: the server's key log. The server must have sent no record since its Finished, and send none by itself.
    """

    def __init__(self, keys: Path) -> None:
        lines = [line.split() for line in keys.read_text().splitlines() if line.startswith("SERVER_TRAFFIC_SECRET_0")]
        self.secret = bytes.fromhex(lines[-1][2])
        self.hash = hashes.SHA384() if len(self.secret) == hashlib.sha384().digest_size else hashes.SHA256()
        self.sequence = 0

    def record(self, content: bytes, kind: int = DATA) -> bytes:
        """Return one encrypted record."""
        key, iv = self._expand(self.secret, b"key", 32), self._expand(self.secret, b"iv", 12)
        nonce = (int.from_bytes(iv, "big") ^ self.sequence).to_bytes(12, "big")
        self.sequence += 1
        header = b"\x17\x03\x03" + (len(content) + 1 + 16).to_bytes(2, "big")
        return header + AESGCM(key).encrypt(nonce, content + bytes([kind]), header)

    def key_update(self, *, request: bool) -> bytes:
        """Return a KeyUpdate (RFC 8446 4.6.3); with ``request`` the client has to answer with its own."""
        record = self.record(b"\x18\x00\x00\x01" + bytes([request]), HANDSHAKE)
        self.secret = self._expand(self.secret, b"traffic upd", self.hash.digest_size)
        self.sequence = 0
        return record

    def _expand(self, secret: bytes, label: bytes, length: int) -> bytes:
        label = b"tls13 " + label
        info = length.to_bytes(2, "big") + bytes([len(label)]) + label + b"\x00"
        return HKDFExpand(self.hash, length, info).derive(secret)


def forging(path: Path) -> ssl.SSLContext:
    """Return a server's context for a `Forger`."""
    context = serving(tickets=0)
    context.keylog_filename = str(path)
    return context
