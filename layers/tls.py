"""Speak TLS with the host that the layer is asked to dial: the target above SOCKS5, the proxy below it.

Over a `TransportStream` the layer returns our own `TlsStream`, which can be handed over to HTTP/2. Over any other
stream (a user's, TLS inside TLS, trio's) it is anyio's ``TLSStream`` with ``standard_compatible=False``. Both end with
the TCP connection, with or without the peer's ``close_notify``, and closing does not wait for it. Many servers just
close, and HTTP/2's framing reveals a truncated connection (RFC 9110 and 9113 allow for both).
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass

from anyio.abc import ByteStream
from anyio.streams.tls import TLSAttribute, TLSStream

from ziggurat.layers.certificates import ClientCertificate, PemFile, check_certificates, client_context
from ziggurat.layers.place import Place
from ziggurat.services.dial import dial, phase
from ziggurat.services.errors import TlsError, one_line
from ziggurat.services.ledger import Ledger
from ziggurat.services.limit import Limit
from ziggurat.services.phase import Phase
from ziggurat.services.remark import Remark
from ziggurat.services.service import Connector
from ziggurat.services.stream import ObservedStream, closing_on_error
from ziggurat.services.tls import TlsStream
from ziggurat.services.tls_errors import HANDSHAKE_ERRORS, tls_error
from ziggurat.services.transport_stream import TransportStream
from ziggurat.services.uri import Uri
from ziggurat.services.validation import check_seconds

__all__ = ["Tls", "TlsLayer"]


@dataclass(frozen=True, slots=True, repr=False)
class TlsLayer:
    """Wraps a connector in `Tls` (phase ``tls``).

    Args:
        context: used as it is and never changed; its own ALPN settings apply. ``None`` makes a default context for
            each stack: the system's authorities, host name verified, TLS 1.2 or later, ``alpn`` offered.
        alpn: protocols to offer, most preferred first. The peer must select one of them. An empty sequence offers none
            and accepts any, e.g. for TLS to a proxy.
        timeout: seconds for the handshake; ``None`` for no limit.
        server_name: the name or IP address to send (SNI) and to verify instead of the host that is dialled, whatever
            that is; ``None`` for the host. An https endpoint accepts the name for its own host.
        ca: a PEM file with the authorities to trust instead of the system's; ``None`` for the system's.
        client_cert: a PEM file with our certificate and its key, or a pair of files, certificate and key, where the
            server asks for one; ``None`` for none. The files are read here and again for each stack.

    Raises:
        TypeError, ValueError: an argument is wrong, a file cannot be loaded, or ``ca`` or ``client_cert`` stands beside
            ``context``, which has its own.
    """

    context: ssl.SSLContext | None = None
    alpn: Sequence[str] = ("h2",)
    timeout: float | None = 10.0
    _: KW_ONLY
    server_name: str | None = None
    ca: PemFile | None = None
    client_cert: ClientCertificate | None = None

    def __post_init__(self) -> None:
        if self.context is not None and not isinstance(self.context, ssl.SSLContext):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"context must be an ssl.SSLContext or None, not {self.context!r}")
        if self.context is not None and self.context.protocol is ssl.PROTOCOL_TLS_SERVER:
            raise ValueError("context must be a client's, not one made with PROTOCOL_TLS_SERVER")
        if isinstance(self.alpn, str):
            raise TypeError(f"alpn must be a sequence of names, not {self.alpn!r}: write ({self.alpn!r},)")
        object.__setattr__(self, "alpn", tuple(self.alpn))
        for name in self.alpn:
            # RFC 7301 3.1: one length byte. The ssl module takes ASCII only.
            if not name.isascii() or not 0 < len(name) < 256:
                raise ValueError(f"alpn names have 1 to 255 ASCII characters, not {name!r}")
        check_seconds("timeout", self.timeout)
        if self.server_name is not None:
            object.__setattr__(self, "server_name", _checked_name(self.server_name))
        if self.context is None:
            check_certificates(self.ca, self.client_cert)
        elif not (self.ca is None and self.client_cert is None):
            name = "client_cert" if self.ca is None else "ca"
            raise ValueError(f"{name}={getattr(self, name)!r} beside a context: load the file into the context")

    def layer(self, inner: Connector, /) -> Connector:
        context = self.context
        if context is None:
            context = client_context(self.ca, self.client_cert)
            if self.alpn:
                context.set_alpn_protocols(list(self.alpn))
        return Tls(self, inner, context)

    def remarks(self, place: Place, /) -> Iterator[Remark]:
        """Say whom TLS is with, if that is not the target."""
        proxies = place.proxies_above
        if proxies and place.target.scheme == "https" and not place.has_above(TlsLayer):
            nearest, name = proxies[-1], type(proxies[-1]).__name__
            yield Remark(
                f"will fail: TlsLayer stands below {name}, so TLS is with the proxy {nearest.proxy.authority} and not "
                f"with {place.target.host}; for TLS with the target, inside the tunnel, put it above {name}"
            )

    def __repr__(self) -> str:
        context = "None" if self.context is None else type(self.context).__name__
        settings = [f"context={context}", f"alpn={self.alpn!r}", f"timeout={self.timeout!r}"]
        for name in ("server_name", "ca", "client_cert"):
            value = getattr(self, name)
            settings += [] if value is None else [f"{name}={value!r}"]
        return f"TlsLayer({', '.join(settings)})"


@dataclass(frozen=True, slots=True)
class Tls:
    """Does the handshake on each stream and returns a TLS stream over it, with anyio's TLS attributes."""

    config: TlsLayer
    inner: Connector
    context: ssl.SSLContext

    async def __call__(self, uri: Uri, /) -> ByteStream:
        """Dial through ``inner``, then do the TLS handshake with the host of ``uri``, or by the ``server_name``.

        Raises:
            TlsError: certificate or name not accepted, no TLS, no common protocol, or cut off; the stream is closed.
            ConnectTimeout: ``timeout`` ran out.
        """
        with dial(uri) as current:
            if uri.is_unix and self.config.server_name is None:
                # Before the dial, which cannot succeed.
                raise TlsError("a unix socket has no host name to verify", hint="leave out TLS or pass server_name=")
            stream = await self.inner(uri)
            async with closing_on_error(stream):
                limit = Limit(self.config.timeout, "TlsLayer timeout")
                host = server_name(uri)
                name = self.config.server_name or host
                with limit, phase("tls", via=name, limit=limit) as entry:
                    if name != host:
                        entry.host = host
                    if not self._verifies:
                        entry.note = "not verified: the context does not check"
                    secured = await self._handshake(stream, name, uri, current.ledger, entry)
                return current.established(secured)

    @property
    def _verifies(self) -> bool:
        return self.context.verify_mode is ssl.CERT_REQUIRED and self.context.check_hostname

    async def _handshake(self, stream: ByteStream, name: str, uri: Uri, ledger: Ledger, entry: Phase) -> ByteStream:
        known = ledger.sent_to_target
        # Set before the handshake: a cancelled one may have sent its hello.
        ledger.sent_to_target = known or (uri.host, uri.port) == (ledger.target.host, ledger.target.port)
        counted = stream if isinstance(stream, ObservedStream) else None
        sent, received = (counted.bytes_sent, counted.bytes_received) if counted else (0, 0)
        try:
            secured = await self._wrap(stream, name)
        except HANDSHAKE_ERRORS as error:
            raise _with_order(tls_error(error, name), name, ledger.target) from error
        except ValueError as error:  # a label of more than 63 characters: nothing was sent
            ledger.sent_to_target = known
            raise TlsError(f"{name!r} is no valid TLS server name: {error}", hint="check the name") from error
        finally:
            if counted:
                entry.sent, entry.received = counted.bytes_sent - sent, counted.bytes_received - received
        self._check_protocol(secured.extra(TLSAttribute.alpn_protocol), name)
        return secured

    async def _wrap(self, stream: ByteStream, name: str) -> ByteStream:
        if type(stream) is TransportStream:  # not a subclass, which may change what is sent
            return await TlsStream.wrap(stream, self.context, name)
        return await TLSStream.wrap(
            stream, server_side=False, hostname=name, ssl_context=self.context, standard_compatible=False
        )

    def _check_protocol(self, selected: str | None, name: str) -> None:
        if not self.config.alpn or selected in self.config.alpn:
            return
        wanted = " or ".join(self.config.alpn)
        hint = f"does {name} serve {wanted} over TLS?"
        if self.config.context is not None:
            hint += " Was set_alpn_protocols called on the context?"
        raise TlsError(f"the peer selected {selected or 'no protocol'} (ALPN), not {wanted}", hint=hint)


def _checked_name(name: object) -> str:
    if not isinstance(name, str):
        raise TypeError(f"server_name must be a host name or an IP address, not {name!r}")
    try:
        return server_name(Uri("tcp", name, 1))
    except ValueError as error:
        raise ValueError(f"server_name={name!r}: {error}") from error


def _with_order(error: TlsError, name: str, target: Uri) -> TlsError:
    """Add what the order of the layers has to do with it, if TLS was with another host than that of an https target."""
    if target.scheme == "https" and name != server_name(target):
        order = f"TLS was with {name}, which a layer above dials; if it was meant for {target.host}, put it above"
        error.hint = one_line(order if error.hint is None else f"{error.hint} {order}")
    return error


def server_name(uri: Uri) -> str:
    """Return the name to send as SNI (RFC 6066 3: without the trailing dot) and to verify.

    A zone id (RFC 4007) is left out: it is local to this machine, and no certificate contains it.
    """
    return uri.host.partition("%")[0].removesuffix(".")
