"""Reach the target through Tor: SOCKS5 with what Tor needs.

Each dial has a circuit of its own, unless it is said otherwise; onion names are verified before anything is sent; IP
addresses go as text, which SafeSocks requires; and an onion service gets more time than a target behind an exit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from anyio.abc import ByteStream

from ziggurat.layers.socks5.auth import Auth, Isolated, credentials_source
from ziggurat.layers.socks5.layer import Socks5, Socks5Layer
from ziggurat.layers.socks5.proxy import parse_proxy
from ziggurat.layers.tor.reply import TorReply
from ziggurat.services.dial import dial
from ziggurat.services.errors import ProxyRefused, ResolveError
from ziggurat.services.onion import OnionAddress, is_onion
from ziggurat.services.service import Connector
from ziggurat.services.uri import Uri
from ziggurat.services.validation import check_seconds

__all__ = ["Isolation", "Tor", "TorLayer", "isolation", "socks_port"]

SOCKS_PORT = 9050
"""Tor's default ``SocksPort``."""

Isolation: TypeAlias = Literal["dial", "none"] | Callable[[Uri], str]


@dataclass(frozen=True, slots=True)
class TorLayer:
    """Wraps a connector in `Tor`. Everything below the layer dials Tor's SOCKS port.

    Args:
        socks: Tor's SOCKS port: ``host[:port]`` (port 9050 if it has none), ``unix:/path``, or a `Uri`.
        isolate: which dials may share a circuit. ``"dial"``: none. ``"none"``: all, also with other programs that do
            not isolate. A function of the target: those for which it returns the same text.
        timeout: seconds for Tor to open a tunnel through an exit; ``None`` for no limit.
        onion_timeout: seconds for Tor to open a tunnel to an onion service, which takes three circuits; ``None`` for no
            limit. Tor itself gives up after 120 (SocksTimeout).
        handshake_timeout: seconds for the SOCKS5 handshake before; ``None`` for no limit.

    Raises:
        TypeError, ValueError: an argument is wrong, or ``socks`` has credentials, which Tor does not check but isolates
            by.
    """

    socks: str | Uri = "127.0.0.1:9050"
    isolate: Isolation = "dial"
    timeout: float | None = 60.0
    onion_timeout: float | None = 120.0
    handshake_timeout: float | None = 10.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "socks", socks_port(self.socks))
        isolation(self.isolate)
        for name in ("timeout", "onion_timeout", "handshake_timeout"):
            check_seconds(name, getattr(self, name))

    def layer(self, inner: Connector, /) -> Connector:
        # One source: a key isolates targets of both kinds alike.
        credentials = credentials_source(isolation(self.isolate))
        exits, onions = (
            Socks5(inner, self._settings(timeout), credentials) for timeout in (self.timeout, self.onion_timeout)
        )
        return Tor(exits, onions)

    def _settings(self, timeout: float | None) -> Socks5Layer:
        return Socks5Layer(
            self.socks,
            auth=isolation(self.isolate),
            handshake_timeout=self.handshake_timeout,
            connect_timeout=timeout,
            literals="domain",
        )


@dataclass(frozen=True, slots=True)
class Tor:
    """Dials onion services and other targets through Tor, each with its own limit."""

    exits: Socks5
    onions: Socks5

    async def __call__(self, uri: Uri, /) -> ByteStream:
        """Open a tunnel to ``uri``.

        Raises:
            ResolveError: the target is under ``.onion`` and no valid address; nothing was sent.
            ProxyRefused: ``reply_code`` may be a `TorReply`, whose hint it then has.
            ConnectError: as for `Socks5`.
        """
        with dial(uri) as current:
            if not is_onion(uri.host):
                return current.established(await _through(self.exits, uri))
            try:
                OnionAddress.parse(uri.host)
            except ValueError as error:
                raise ResolveError(str(error), hint="check the address", transient=False) from error
            return current.established(await _through(self.onions, uri))


async def _through(tunnels: Socks5, uri: Uri) -> ByteStream:
    """Open a tunnel. This is Tor, so a code means what Tor means by it, and not what any SOCKS5 proxy may."""
    try:
        return await tunnels(uri)
    except ProxyRefused as error:
        known = {each.value: each.hint for each in TorReply}
        # A proxy before Tor's SOCKS port may have refused as well.
        if error.via == tunnels.settings.proxy.authority and error.reply_code in known:
            error.hint = known[error.reply_code]
        raise


def socks_port(socks: str | Uri) -> Uri:
    """Return the address of Tor's SOCKS port.

    Raises:
        TypeError, ValueError: it is none, or has credentials.
    """
    if isinstance(socks, Uri):
        return Socks5Layer(socks).proxy
    address, credentials = parse_proxy(socks, default_port=SOCKS_PORT)
    if credentials is not None:
        raise ValueError("Tor's SOCKS port takes no credentials: isolate= says which dials share a circuit")
    return address


def isolation(isolate: Isolation) -> Auth:
    """Return the credentials that make Tor isolate so (IsolateSOCKSAuth).

    Raises:
        ValueError: it is neither a function nor one of the two words.
    """
    if callable(isolate):
        return Isolated(isolate)
    if isolate not in ("dial", "none"):
        raise ValueError(f"isolate must be 'dial', 'none' or a function of the target, not {isolate!r}")
    return Isolated() if isolate == "dial" else None
