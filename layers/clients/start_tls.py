"""TLS on any asyncio transport, ours and uvloop's included, which ``loop.start_tls`` refuses."""

from __future__ import annotations

import asyncio
import ssl

from anyio import BrokenResourceError, EndOfStream

from ziggurat.services.errors import TlsError
from ziggurat.services.tls import new_session
from ziggurat.services.tls_errors import HANDSHAKE_ERRORS, tls_error
from ziggurat.services.tls_session import TlsSession
from ziggurat.services.tls_transport import TlsTransport

__all__ = ["start_tls"]


async def start_tls(
    transport: asyncio.Transport, protocol: asyncio.Protocol, context: ssl.SSLContext, name: str
) -> asyncio.Transport:
    """Do the TLS handshake with the server ``name``, and return the transport that encrypts, for ``protocol``.

    As with ``loop.start_tls``, ``protocol.connection_made`` is not called, and the old transport must not be used
    afterwards. On an error it is aborted.

    Raises:
        TlsError: certificate or name not accepted, no TLS, or cut off.
    """
    try:
        session = await new_session(context, name.partition("%")[0].removesuffix("."))
    except ValueError as error:
        transport.abort()
        raise TlsError(f"{name!r} is no valid TLS server name: {error}", hint="check the name") from error
    handshake = _Handshake(transport, session)
    transport.set_protocol(handshake)
    transport.resume_reading()
    try:
        handshake.step(b"")
        await handshake.complete
    except HANDSHAKE_ERRORS as error:
        transport.abort()
        raise tls_error(error, name) from error
    except BaseException:
        transport.abort()
        raise
    early = _Early()
    secured = TlsTransport(session, early, session.decrypt(handshake.behind))
    transport.set_protocol(secured)
    secured.connection_made(transport)
    secured.set_protocol(protocol)
    if early.data:
        protocol.data_received(early.data)
    return secured


class _Handshake(asyncio.Protocol):
    def __init__(self, transport: asyncio.Transport, session: TlsSession) -> None:
        self.complete: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.behind = b""  # what came after the handshake's end
        self._transport = transport
        self._session = session

    def step(self, data: bytes) -> None:
        """Take received bytes, and answer them."""
        try:
            complete = self._session.handshake(data)
        except ssl.SSLError as error:
            self._transport.write(self._session.output())  # our alert, so that the peer knows why
            self._fail(error)
            return
        self._transport.write(self._session.output())
        if complete:
            self.complete.set_result(None)

    def data_received(self, data: bytes) -> None:
        if self.complete.done():
            self.behind += data
        else:
            self.step(data)

    def eof_received(self) -> bool:
        self._fail(EndOfStream())
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if isinstance(exc, OSError) and not isinstance(exc, ssl.SSLError):
            lost = BrokenResourceError()
            lost.__cause__ = exc
            exc = lost
        self._fail(exc or EndOfStream())

    def _fail(self, error: Exception) -> None:
        if not self.complete.done():
            self.complete.set_exception(error)


class _Early(asyncio.Protocol):
    def __init__(self) -> None:
        self.data = b""

    def data_received(self, data: bytes) -> None:
        self.data += data
