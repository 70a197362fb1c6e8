"""TLS for a client that starts it by itself, on a stream that a stack has dialled."""

from __future__ import annotations

import ssl

from anyio.abc import ByteStream
from anyio.streams.tls import TLSStream

from ziggurat.services.errors import TlsError
from ziggurat.services.stream import DialAttribute, closing_on_error
from ziggurat.services.tls import TlsStream
from ziggurat.services.tls_errors import HANDSHAKE_ERRORS, tls_error
from ziggurat.services.transport_stream import TransportStream

__all__ = ["refuse_second_tls", "secure"]


async def secure(stream: ByteStream, context: ssl.SSLContext, name: str) -> ByteStream:
    """Do the TLS handshake with the server ``name`` on a stream, which is closed on an error.

    Args:
        stream: nothing else may use it from now on.
        context: a client's; never changed.
        name: sent as SNI and verified, as ``context`` says; a trailing dot and a zone id are left out.

    Raises:
        TlsError: certificate or name not accepted, no TLS, or cut off.
    """
    name = name.partition("%")[0].removesuffix(".")
    async with closing_on_error(stream):
        refuse_second_tls(stream, name)
        try:
            if type(stream) is TransportStream:  # not a subclass, which may change what is sent
                return await TlsStream.wrap(stream, context, name)
            return await TLSStream.wrap(
                stream, server_side=False, hostname=name, ssl_context=context, standard_compatible=False
            )
        except HANDSHAKE_ERRORS as error:
            raise tls_error(error, name) from error
        except ValueError as error:
            raise TlsError(f"{name!r} is no valid TLS server name: {error}", hint="check the name") from error


def refuse_second_tls(stream: ByteStream, name: str) -> None:
    """Check that the stack has not done TLS with the same host already: a second TLS inside would be Greek to it.

    Raises:
        TlsError: it has, as the dial's ledger says. Not transient.
    """
    ledger = stream.extra(DialAttribute.ledger, None)
    if ledger is not None and any(step.name == "tls" and step.via == name for step in ledger.phases):
        hint = "leave out the tls layer above the proxy: this client does TLS itself"
        raise TlsError(f"the stack has done TLS with {name} already", hint=hint)
