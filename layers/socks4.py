"""Reach the target through a SOCKS4 proxy, with the extension 4A for names; no other authentication than a user id.

There is no RFC: the references are Ying-Da Lee's "SOCKS: A protocol for TCP proxy across firewalls" and "SOCKS 4A".
socksio formats the request; the reply is read here, since proxies also send version 4 in it, where it must be 0.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from functools import partial
from typing import cast

from anyio import BrokenResourceError, ClosedResourceError, EndOfStream
from anyio.abc import ByteStream
from socksio.socks4 import SOCKS4ARequest, SOCKS4Command, SOCKS4Request

from ziggurat.layers.other_protocols import other_protocol
from ziggurat.layers.proxy_address import ProxyKind, parse_address
from ziggurat.layers.redaction import hide_arguments, send_message
from ziggurat.services.dial import dial, phase
from ziggurat.services.errors import ConnectError, ProxyAuthError, ProxyProtocolError, ProxyRefused
from ziggurat.services.limit import Limit
from ziggurat.services.phase import Phase
from ziggurat.services.service import Connector
from ziggurat.services.stream import closing_on_error
from ziggurat.services.uri import Uri
from ziggurat.services.validation import check_bool, check_seconds

__all__ = ["Socks4", "Socks4Layer"]

SOCKS4 = ProxyKind("a SOCKS4 proxy", {"socks4": "socks4", "socks4a": "socks4"}, 1080, "user")

MAX_USER_ID = 255
"""Bytes; the protocol has no limit, proxies do."""

REPLY_SIZE = 8
GRANTED = 0x5A
REFUSALS = {
    0x5B: "request rejected or failed",
    0x5C: "it cannot reach the identd of this machine",
    0x5D: "identd names another user",
}


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Socks4Layer:
    """Wraps a connector in `Socks4` (phase ``proxy.connect``). Nothing is looked up here; no dial bypasses the proxy.

    Args:
        proxy: ``host:port``, ``socks4://[user@]host[:port]``, ``socks4a://`` (the same), ``unix:/path``, or a `Uri`.
            The default port is 1080.
        user_id: sent with the request; at most 255 bytes in UTF-8, without NUL. ``repr`` hides it.
        remote_dns: ``True`` sends names to the proxy (SOCKS 4A), and IPv6 addresses as text, which some proxies take.
            ``False`` is for proxies without 4A: a dial to a name or an IPv6 address then fails before it begins.
        timeout: seconds for the proxy to open the tunnel; ``None`` for no limit.

    Raises:
        TypeError, ValueError: an argument is wrong, or the address has a password or another user id.
    """

    proxy: Uri
    user_id: str
    remote_dns: bool
    timeout: float | None

    @hide_arguments
    def __init__(
        self, proxy: str | Uri, *, user_id: str = "", remote_dns: bool = True, timeout: float | None = 60.0
    ) -> None:
        if not isinstance(cast(object, proxy), (str, Uri)):
            raise TypeError(f"proxy must be a str or a Uri, not {type(proxy).__name__}")
        address, embedded = parse_address(proxy, SOCKS4) if isinstance(proxy, str) else (proxy, None)
        if address.scheme not in ("socks4", "socks4a", "unix"):
            raise ValueError(f"bad proxy scheme: {address.scheme!r} (a SOCKS4 proxy is socks4:// or socks4a://)")
        if embedded is not None and embedded.password:
            raise ValueError("SOCKS4 has no password, only a user id: socks4://user@host")
        if embedded is not None and user_id:
            raise ValueError("a user id in both the proxy's address and user_id=: pass it once")
        user_id = user_id if embedded is None else embedded.username
        _check_user_id(user_id)
        check_bool("remote_dns", remote_dns)
        check_seconds("timeout", timeout)
        put = object.__setattr__
        put(self, "proxy", address)
        put(self, "user_id", user_id)
        put(self, "remote_dns", remote_dns)
        put(self, "timeout", timeout)

    def layer(self, inner: Connector, /) -> Connector:
        return Socks4(inner, self)

    def __repr__(self) -> str:
        user = f", user_id={'***'!r}" if self.user_id else ""
        return f"Socks4Layer(proxy={self.proxy!r}{user}, remote_dns={self.remote_dns!r}, timeout={self.timeout!r})"


def _check_user_id(value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"user_id must be a str, not {type(value).__name__}")
    try:
        data = value.encode()
    except UnicodeEncodeError:
        raise ValueError("user_id cannot be encoded in UTF-8: it has a lone surrogate") from None
    if b"\0" in data or len(data) > MAX_USER_ID:
        raise ValueError(f"user_id must have at most {MAX_USER_ID} bytes in UTF-8, and no NUL, which would end it")


@dataclass(frozen=True, slots=True)
class Socks4:
    """Dials the proxy through ``inner`` and requests a tunnel; returns the inner stream itself."""

    inner: Connector
    settings: Socks4Layer

    async def __call__(self, uri: Uri, /) -> ByteStream:
        """Open a tunnel to ``uri``.

        Raises:
            ProxyRefused: reply 5B. SOCKS4 gives no reason.
            ProxyAuthError: reply 5C or 5D: the proxy wants an identd to confirm the user id.
            ProxyProtocolError: it does not speak SOCKS4, or the connection was cut off.
            ConnectTimeout: ``timeout`` ran out.
            ConnectError: the proxy was not reached, or SOCKS4 cannot express the target.
        """
        settings = self.settings
        with dial(uri) as current:
            _check_target(uri, settings.remote_dns)  # fails before anything is sent
            stream = await self.inner(settings.proxy)
            async with closing_on_error(stream):
                limit = Limit(settings.timeout, "Socks4Layer timeout")
                with limit, phase("proxy.connect", via=settings.proxy.authority, limit=limit) as entry:
                    entry.hint = "the proxy says nothing; is it a SOCKS4 proxy?"
                    await _exchange(stream, uri, settings, entry)
            return current.established(stream)


def _check_target(uri: Uri, remote_dns: bool) -> None:
    hint = None if remote_dns else "use remote_dns=True (socks4a://) if the proxy knows it, or SOCKS5"
    if uri.is_unix:
        raise ConnectError(f"a SOCKS4 proxy cannot reach a unix socket ({uri})", transient=False)
    if "%" in uri.host:
        raise ConnectError(f"SOCKS4 cannot express a zone id ({uri.host})", transient=False)
    if ":" in uri.host and not remote_dns:
        raise ConnectError(f"SOCKS4 cannot express an IPv6 address ({uri.host})", hint=hint, transient=False)
    if not uri.is_literal and not remote_dns:
        raise ConnectError(f"plain SOCKS4 cannot express a name ({uri.host})", hint=hint, transient=False)
    if uri.host.startswith("0.0.0."):
        # With a last byte other than 0 this announces a name, for which the proxy would wait (dotnet/runtime #48883).
        raise ConnectError(f"SOCKS4 cannot express the address {uri.host}", transient=False)


def _request(uri: Uri, user_id: str) -> bytes:
    user = user_id.encode()
    if uri.is_literal and ":" not in uri.host:
        address = ipaddress.IPv4Address(uri.host).packed
        return SOCKS4Request(SOCKS4Command.CONNECT, uri.port, address, user).dumps()
    return SOCKS4ARequest(SOCKS4Command.CONNECT, uri.port, uri.host.encode("ascii"), user).dumps()


async def _exchange(stream: ByteStream, uri: Uri, settings: Socks4Layer, entry: Phase) -> None:
    """Send the request and read exactly the reply."""
    reply = b""
    try:
        entry.sent += await send_message(
            stream, partial(_request, uri, settings.user_id), secret=bool(settings.user_id)
        )
        while len(reply) < REPLY_SIZE:
            data = await stream.receive(REPLY_SIZE - len(reply))
            entry.received += len(data)
            entry.hint = None
            reply += data
            _judge(reply)
    except (EndOfStream, BrokenResourceError, ClosedResourceError) as error:
        how = "closed" if isinstance(error, EndOfStream) else "reset"
        came = f"after {len(reply)} bytes of" if reply else "before"
        raise ProxyProtocolError(
            f"the proxy {how} the connection {came} its reply",
            hint="is it a SOCKS4 proxy? Some (ssh -D) close when the target refuses",
            transient=True,
        ) from error
    if reply[0]:
        entry.note = f"reply with version {reply[0]}"


def _judge(reply: bytes) -> None:
    """Check the bytes of a reply that have arrived: an error is reported without the rest."""
    if reply[0] not in (0, 4):
        raise ProxyProtocolError(f"not a SOCKS4 proxy: {other_protocol(reply[:2])}", hint="check its address and kind")
    if len(reply) == 1 or reply[1] == GRANTED:
        return
    code = reply[1]
    if code not in REFUSALS:
        what = other_protocol(reply[:2]) if not reply[0] else f"its reply begins with {reply[:2].hex(' ')}"
        raise ProxyProtocolError(f"not a SOCKS4 proxy: {what}", hint="check its address and kind")
    message = f"the proxy replied: {REFUSALS[code]} ({code:#04x})"
    if code == 0x5B:
        hint = "SOCKS4 gives no reason; the target may be down, or the proxy may not know SOCKS 4A (names)"
        raise ProxyRefused(message, reply_code=code, hint=hint)
    raise ProxyAuthError(message, reply_code=code, hint="pass the user_id= that it expects, or use another proxy")
