"""Reach the target through a SOCKS5 proxy (RFC 1928); two of these layers make a chain of proxies.

Everything below the layer dials the proxy; everything above gets a stream to the target.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from anyio import BrokenResourceError, ClosedResourceError, EndOfStream
from anyio.abc import ByteStream

from ziggurat.layers.redaction import hide_arguments, send_message
from ziggurat.layers.socks5.auth import Auth, Credentials, Isolated, check_lengths, credentials_source
from ziggurat.layers.socks5.handshake import NO_AUTH, Handshake, Literals, Pipeline, State, connect_request
from ziggurat.layers.socks5.proxy import parse_proxy
from ziggurat.layers.user_pass import UserPass
from ziggurat.services.dial import dial, phase
from ziggurat.services.limit import Limit
from ziggurat.services.phase import Phase
from ziggurat.services.service import Connector
from ziggurat.services.stream import closing_on_error
from ziggurat.services.uri import Uri
from ziggurat.services.validation import check_seconds

__all__ = ["Socks5", "Socks5Layer"]


@dataclass(frozen=True, slots=True, init=False)
class Socks5Layer:
    """Wraps a connector in `Socks5`. Names always go to the proxy unresolved; no dial bypasses the proxy.

    Args:
        proxy: ``host:port``, ``socks5://[user:password@]host[:port]``, ``socks5h://`` (the same), ``unix:/path``, or
            a `Uri`; the default port is 1080.
        auth: ``None`` (no authentication), `UserPass` (at most 255 bytes each), or `Isolated`.
        handshake_timeout: seconds for greeting and authentication together; ``None`` for no limit.
        connect_timeout: seconds for the proxy to open the tunnel; ``None`` for no limit. Tor may take a minute.
        pipeline: ``None`` awaits each reply before the next message. ``"auth"`` sends the request right after the
            credentials (saves one round trip), ``"all"`` sends everything at once (saves two). microsocks and proxies
            that read byte by byte hang on both; Tor loses its method reply if ``"all"`` includes credentials.
        literals: ``"as-is"`` sends IP addresses in binary, ``"domain"`` as text, which Tor's SafeSocks requires.

    Raises:
        TypeError, ValueError: an argument is wrong, or both ``proxy`` and ``auth`` have credentials.
    """

    proxy: Uri
    auth: Auth
    handshake_timeout: float | None
    connect_timeout: float | None
    pipeline: Pipeline
    literals: Literals

    @hide_arguments
    def __init__(
        self,
        proxy: str | Uri,
        *,
        auth: Auth = None,
        handshake_timeout: float | None = 10.0,
        connect_timeout: float | None = None,
        pipeline: Pipeline = None,
        literals: Literals = "as-is",
    ) -> None:
        if not isinstance(cast(object, proxy), (str, Uri)):
            raise TypeError(f"proxy must be a str or a Uri, not {type(proxy).__name__}")
        address, embedded = parse_proxy(proxy) if isinstance(proxy, str) else (proxy, None)
        if address.scheme not in ("socks5", "socks5h", "unix"):
            raise ValueError(f"bad proxy scheme: {address.scheme!r} (a SOCKS5 proxy is socks5:// or socks5h://)")
        if embedded is not None and auth is not None:
            raise ValueError("credentials in both the proxy's address and auth=: pass them once")
        auth = auth if embedded is None else embedded
        _check_auth(auth)
        for name, value in (("handshake_timeout", handshake_timeout), ("connect_timeout", connect_timeout)):
            check_seconds(name, value)
        if pipeline not in (None, "auth", "all"):
            raise ValueError(f"pipeline must be None, 'auth' or 'all', not {pipeline!r}")
        if literals not in ("as-is", "domain"):
            raise ValueError(f"literals must be 'as-is' or 'domain', not {literals!r}")
        put = object.__setattr__
        put(self, "proxy", address)
        put(self, "auth", auth)
        put(self, "handshake_timeout", handshake_timeout)
        put(self, "connect_timeout", connect_timeout)
        put(self, "pipeline", pipeline)
        put(self, "literals", literals)

    def layer(self, inner: Connector, /) -> Connector:
        return Socks5(inner, self, credentials_source(self.auth))


def _check_auth(auth: object) -> None:
    if isinstance(auth, type):
        raise TypeError(f"auth: {auth.__name__} is a class: pass an instance, {auth.__name__}(...)")
    if not isinstance(auth, (UserPass, Isolated, type(None))):
        raise TypeError(f"auth must be UserPass, Isolated or None, not {type(auth).__name__}")
    if isinstance(auth, UserPass):
        check_lengths(auth)


@dataclass(frozen=True, slots=True)
class Socks5:
    """Dials the proxy through ``inner`` and requests a tunnel; returns the inner stream itself."""

    inner: Connector
    settings: Socks5Layer
    credentials: Callable[[Uri], Credentials | None] = field(repr=False)

    async def __call__(self, uri: Uri, /) -> ByteStream:
        """Open a tunnel to ``uri``.

        Raises:
            ProxyError: the proxy failed or refused; the subclass says how, and ``reply_code`` is its reply.
            ConnectTimeout: ``handshake_timeout`` or ``connect_timeout`` ran out.
            ConnectError: the proxy was not reached, or SOCKS5 cannot express the target.
        """
        settings = self.settings
        with dial(uri) as current:
            via = settings.proxy.authority
            request = connect_request(uri, settings.literals)  # fails before anything is sent
            credentials = self.credentials(uri)
            handshake = Handshake(request, credentials, settings.pipeline)
            stream = await self.inner(settings.proxy)
            async with closing_on_error(stream):
                with Limit(settings.handshake_timeout, "handshake_timeout") as limit:
                    with phase("proxy.greeting", via=via, limit=limit) as entry:
                        entry.hint = "the proxy says nothing; HTTP proxies do this"
                        await _exchange(stream, handshake, State.GREETING, entry)
                        if handshake.method == NO_AUTH and credentials is not None and credentials.isolating:
                            entry.note = "the proxy supports no authentication: nothing was isolated"
                    if handshake.state is State.AUTH:
                        with phase("proxy.auth", via=via, limit=limit) as entry:
                            await _exchange(stream, handshake, State.AUTH, entry)
                            entry.note = handshake.odd
                with (
                    Limit(settings.connect_timeout, "connect_timeout") as limit,
                    phase("proxy.connect", via=via, limit=limit) as entry,
                ):
                    await _exchange(stream, handshake, State.CONNECT, entry)
            return current.established(stream)


async def _exchange(stream: ByteStream, handshake: Handshake, state: State, entry: Phase) -> None:
    """Send this state's message and read exactly its reply."""
    try:
        entry.sent += await send_message(stream, handshake.outgoing, secret=handshake.confidential)
        while handshake.state is state:
            data = await stream.receive(handshake.wants)
            entry.received += len(data)
            entry.hint = None
            handshake.receive(data)
    except EndOfStream as error:
        raise handshake.closed(reset=False) from error
    except (BrokenResourceError, ClosedResourceError) as error:
        raise handshake.closed(reset=True) from error
