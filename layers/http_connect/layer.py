"""Reach the target through an HTTP proxy's CONNECT (RFC 9110 9.3.6); two of these layers make a chain of proxies.

Everything below the layer dials the proxy; everything above gets a stream to the target. TLS to the proxy is a
`TlsLayer` below this one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import NoneType
from typing import cast

from anyio import BrokenResourceError, ClosedResourceError, EndOfStream, move_on_after
from anyio.abc import ByteStream

from ziggurat.layers.http_connect.auth import BearerToken, HttpAuth, ProxyConversation, check_auth, conversations
from ziggurat.layers.http_connect.exchange import MAX_BODY, Exchange, Response
from ziggurat.layers.http_connect.headers import Fields, Headers, check_headers, is_field_value
from ziggurat.layers.http_connect.reason import needs_body, reason
from ziggurat.layers.http_connect.refusal import auth_error, refusal
from ziggurat.layers.proxy_address import ProxyKind, parse_address
from ziggurat.layers.redaction import hide_arguments, send_message
from ziggurat.layers.user_pass import UserPass
from ziggurat.services.dial import dial, phase
from ziggurat.services.errors import ConnectError
from ziggurat.services.ledger import Ledger
from ziggurat.services.limit import Limit
from ziggurat.services.phase import Phase
from ziggurat.services.service import Connector
from ziggurat.services.stream import closing_on_error, observed
from ziggurat.services.uri import Uri
from ziggurat.services.validation import check_seconds

__all__ = ["HttpConnect", "HttpConnectLayer"]

HTTP = ProxyKind("an HTTP proxy", {"http": "http", "https": "https"}, None)

MAX_ROUNDS = 5
"""Challenges that are answered in one dial: Negotiate needs two, NTLM as well."""

MAX_DRAINED = 64 * 1024
"""Bytes of a 407's body that are read so as to go on with the connection."""

REASON_WAIT = 2.0
"""Seconds for the page of a refusal, which some proxies never end."""


@dataclass(frozen=True, slots=True, init=False, repr=False)
class HttpConnectLayer:
    """Wraps a connector in `HttpConnect` (phase ``proxy.connect``).

    Names always go to the proxy unresolved; no dial bypasses the proxy.

    Args:
        proxy: ``host:port``, ``http://[user:password@]host[:port]``, ``https://`` (the connector below must then do TLS
            with the proxy), ``unix:/path``, or a `Uri`. The default port is the scheme's, 80 or 443; an address without
            a scheme needs a port, as proxies listen on 3128, 8080 or 80.
        auth: `UserPass` (Basic) and `BearerToken` go with the first request; a `ProxyAuthenticator` answers challenges;
            ``None`` sends nothing.
        headers: further fields of the request, a mapping or pairs. ``repr`` hides their values.
        timeout: seconds for the proxy to open the tunnel, authentication included; ``None`` for no limit.

    Raises:
        TypeError, ValueError: an argument is wrong, or both ``proxy`` and ``auth`` have credentials.
    """

    proxy: Uri
    auth: HttpAuth
    headers: Fields
    timeout: float | None

    @hide_arguments
    def __init__(
        self,
        proxy: str | Uri,
        *,
        auth: HttpAuth = None,
        headers: Headers = (),
        timeout: float | None = 60.0,
    ) -> None:
        if not isinstance(cast(object, proxy), (str, Uri)):
            raise TypeError(f"proxy must be a str or a Uri, not {type(proxy).__name__}")
        address, embedded = parse_address(proxy, HTTP) if isinstance(proxy, str) else (proxy, None)
        if address.scheme not in ("http", "https", "unix"):
            raise ValueError(f"bad proxy scheme: {address.scheme!r} (an HTTP proxy is http:// or https://)")
        if embedded is not None and auth is not None:
            raise ValueError("credentials in both the proxy's address and auth=: pass them once")
        auth = auth if embedded is None else embedded
        check_auth(auth)
        fields = check_headers(headers)
        if auth is not None and any(name.lower() == "proxy-authorization" for name, _ in fields):
            raise ValueError("credentials in both headers= and auth=: pass them once")
        check_seconds("timeout", timeout)
        put = object.__setattr__
        put(self, "proxy", address)
        put(self, "auth", auth)
        put(self, "headers", fields)
        put(self, "timeout", timeout)

    def layer(self, inner: Connector, /) -> Connector:
        return HttpConnect(inner, self, conversations(self.auth))

    def __repr__(self) -> str:
        headers = f", headers={{{', '.join(f'{name!r}: ***' for name, _ in self.headers)}}}" if self.headers else ""
        return f"HttpConnectLayer(proxy={self.proxy!r}, auth={self.auth!r}{headers}, timeout={self.timeout!r})"


@dataclass(frozen=True, slots=True)
class HttpConnect:
    """Dials the proxy through ``inner`` and requests a tunnel; returns the inner stream itself."""

    inner: Connector
    settings: HttpConnectLayer
    start: Callable[[Uri], ProxyConversation] = field(repr=False)

    async def __call__(self, uri: Uri, /) -> ByteStream:
        """Open a tunnel to ``uri``.

        Raises:
            ProxyError: the proxy failed or refused; the subclass says how, and ``status`` is that of its response.
            ConnectTimeout: ``timeout`` ran out.
            ConnectError: the proxy was not reached, or HTTP CONNECT cannot express the target.
        """
        settings = self.settings
        with dial(uri) as current:
            _check_target(uri)  # fails before anything is sent
            earlier = len(current.ledger.phases)
            stream = await self.inner(settings.proxy)
            async with closing_on_error(stream):
                if settings.proxy.scheme == "https":
                    _require_tls(settings.proxy, current.ledger, earlier)
                limit = Limit(settings.timeout, "HttpConnectLayer timeout")
                with limit, phase("proxy.connect", via=settings.proxy.authority, limit=limit) as entry:
                    entry.hint = "the proxy says nothing; is it an HTTP proxy?"
                    early = await self._open(stream, uri, entry, limit)
                if early:
                    ours = observed(stream)
                    ours.push_back(early)
                    stream = ours
            return current.established(stream)

    async def _open(self, stream: ByteStream, uri: Uri, entry: Phase, limit: Limit) -> bytes:
        """Do the exchanges with the proxy; return the first bytes of the open tunnel."""
        conversation, answered = self.start(uri), 0
        challenge: Response | None = None
        while True:
            exchange = await self._request(conversation, uri, challenge)
            await _exchange(stream, exchange, entry, challenge)
            response = exchange.response
            assert response is not None
            if exchange.open:
                if exchange.informational:
                    entry.note = f"informational responses: {exchange.informational[:5]}"
                entry.received -= len(exchange.rest)
                return exchange.rest
            if response.status != 407 or not self._converses:
                raise await self._refusal(stream, exchange, response, uri, entry, limit)
            await _drain(stream, exchange, entry, MAX_DRAINED)
            if not exchange.reusable:
                message = f"the proxy's challenge ({response.status}) cannot be answered"
                raise auth_error(response, message, "it closes the connection, or its response has no end")
            if answered == MAX_ROUNDS:
                raise auth_error(response, f"the proxy still asks for authentication after {MAX_ROUNDS} answers")
            answered += 1
            challenge = response

    @property
    def _converses(self) -> bool:
        return not isinstance(self.settings.auth, (UserPass, BearerToken, NoneType))

    async def _request(self, conversation: ProxyConversation, uri: Uri, challenge: Response | None) -> Exchange:
        challenges = () if challenge is None else challenge.all("proxy-authenticate")
        authorization = await conversation.answer(challenges)
        if authorization is None and challenge is not None:
            raise auth_error(challenge, "the authenticator gave up on the proxy's challenge (407)")
        usable = authorization is None or (
            isinstance(cast(object, authorization), str) and is_field_value(authorization)
        )
        if not usable:
            del authorization
            raise ValueError("what the authenticator answered is no value of a header field (RFC 9110 5.5)")
        return Exchange(uri.authority, self.settings.headers, authorization)

    async def _refusal(
        self, stream: ByteStream, exchange: Exchange, response: Response, uri: Uri, entry: Phase, limit: Limit
    ) -> ConnectError:
        if needs_body(response):
            left = limit.left
            with move_on_after(REASON_WAIT if left is None else min(REASON_WAIT, left / 2)):
                await _drain(stream, exchange, entry, MAX_BODY)
        detail = reason(response, exchange.body)
        if self._repeats_secrets(detail, exchange):
            detail = ""
        if self._repeats_secrets(response.phrase, exchange):
            response = response._replace(phrase="")
        return refusal(response, detail, uri.port, self.settings.auth)

    def _repeats_secrets(self, text: str, exchange: Exchange) -> bool:
        auth = self.settings.auth
        return (
            exchange.repeats_credentials(text)
            or (isinstance(auth, UserPass) and bool(auth.password) and auth.password in text)
            or any(value and value in text for _, value in self.settings.headers)
        )


def _check_target(uri: Uri) -> None:
    if uri.is_unix:
        raise ConnectError(f"an HTTP proxy cannot reach a unix socket ({uri})", transient=False)
    if "%" in uri.host:
        raise ConnectError(f"HTTP CONNECT cannot express a zone id ({uri.host})", transient=False)


def _require_tls(proxy: Uri, ledger: Ledger, earlier: int) -> None:
    """Check that the dial below did TLS with the proxy: the request may hold a password."""
    if any(step.verified(proxy.host) for step in ledger.phases[earlier:]):
        return
    raise ConnectError(
        f"the proxy is https://, but nothing below did TLS with {proxy.host}",
        hint="add .tls(alpn=()) below .http_connect(), or write http://",
        transient=False,
    )


async def _exchange(stream: ByteStream, exchange: Exchange, entry: Phase, challenge: Response | None) -> None:
    """Send the request and read the response's head."""
    try:
        entry.sent += await send_message(stream, exchange.outgoing, secret=exchange.confidential)
        while exchange.response is None:
            data = await stream.receive()
            entry.received += len(data)
            entry.hint = challenge = None
            exchange.receive(data)
    except (EndOfStream, BrokenResourceError, ClosedResourceError) as error:
        if challenge is not None:
            message = "the proxy closed the connection after its challenge (407)"
            raise auth_error(challenge, message, "it must keep the connection open for this scheme") from error
        exchange.closed(reset=not isinstance(error, EndOfStream))


async def _drain(stream: ByteStream, exchange: Exchange, entry: Phase, limit: int) -> None:
    """Read the rest of the response, at most ``limit`` bytes of its body."""
    try:
        while not exchange.ended and exchange.body_size < limit:
            data = await stream.receive()
            entry.received += len(data)
            exchange.receive(data)
    except (EndOfStream, BrokenResourceError, ClosedResourceError):
        exchange.closed(reset=False)
