"""Look names up at a name server of one's choice, over any connector: through a proxy, through Tor, inside TLS."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

import anyio
from anyio import BrokenResourceError, ClosedResourceError, EndOfStream
from anyio.abc import ByteStream

from ziggurat.services.attempt import current_attempt
from ziggurat.services.errors import ConnectError, ResolveError
from ziggurat.services.resolver import refuse_onion
from ziggurat.services.service import Connector
from ziggurat.services.uri import Uri, split_authority
from ziggurat.services.validation import check_seconds

if TYPE_CHECKING:
    from ziggurat.services.dns_message import DnsLookup

__all__ = ["DnsResolver"]

PORT = 53

GRACE = 0.5
"""Seconds for the other family, once one has an address. RFC 8305 3 has 0.05, too little for a circuit of Tor."""

LOOPBACK = ("::1", "127.0.0.1")


@dataclass(frozen=True, slots=True)
class DnsResolver:
    """A `Resolver` that asks a name server for A and AAAA records, over a stream (RFC 7766).

    Each look-up dials the server anew, as a dial of its own, and keeps nothing: there is no cache. Names under
    ``.onion`` are not asked for (RFC 7686 2), and ``localhost`` is this machine (RFC 6761 6.3).

    Args:
        connector: reaches the server, e.g. a stack with a proxy. With TLS in it this is DNS over TLS (RFC 7858).
        server: ``host`` or ``host:port``, or a `Uri`; port 53 if none is given. DNS over TLS has port 853.
        timeout: seconds from the dial of the server to its answers; ``None`` for no limit. ``dns_timeout`` of the
            `TcpConnector` that asks is a limit around it.

    Raises:
        ImportError: dnspython is not installed; it comes with the extra ``ziggurat[dns]``.
        TypeError, ValueError: an argument is wrong.
    """

    connector: Connector
    server: str | Uri
    timeout: float | None = 4.0

    def __post_init__(self) -> None:
        if isinstance(self.connector, type) or not callable(self.connector):
            raise TypeError(f"connector must be an async function from a Uri to a stream, not {self.connector!r}")
        object.__setattr__(self, "server", _server(self.server))
        check_seconds("timeout", self.timeout)
        try:
            import_module("ziggurat.services.dns_message")
        except ImportError as error:
            raise ImportError("DnsResolver needs dnspython: pip install 'ziggurat[dns]'") from error

    async def __call__(self, host: str, /) -> list[str]:
        """Return the addresses of a name, IPv6 first.

        Raises:
            ResolveError: there is none (not transient), or the server was not reached, did not answer in time, or could
                not tell (transient).
        """
        from ziggurat.services.dns_message import DnsLookup

        refuse_onion(host)
        if host.lower().rstrip(".").rpartition(".")[2] == "localhost":
            return list(LOOPBACK)
        lookup = DnsLookup(host)
        with anyio.move_on_after(self.timeout) as limit:
            await self._ask(lookup, host, limit)
        if limit.cancelled_caught:
            seconds = "time" if self.timeout is None else f"{self.timeout:g} s"
            lookup.end(f"{self._name} did not answer in {seconds}")
        return lookup.addresses()

    @property
    def _name(self) -> str:
        return _server(self.server).authority

    async def _ask(self, lookup: DnsLookup, host: str, limit: anyio.CancelScope) -> None:
        stream = await self._dial(host)
        try:
            await stream.send(lookup.questions)
            while not lookup.done:
                lookup.receive(await stream.receive())
                if lookup.found and not lookup.done:
                    limit.deadline = min(limit.deadline, anyio.current_time() + GRACE)
        except (EndOfStream, BrokenResourceError, ClosedResourceError):
            lookup.end(f"{self._name} closed the connection")
        finally:
            await anyio.aclose_forcefully(stream)

    async def _dial(self, host: str) -> ByteStream:
        # A dial of its own: in the other one's ledger, TLS with the name server might pass for TLS with the target.
        token = current_attempt.set(None)
        try:
            return await self.connector(_server(self.server))
        except ConnectError as error:
            text = f"{host}: the name server was not reached: {error}"
            raise ResolveError(text, transient=error.transient) from error
        except Exception as error:
            text = f"{host}: the name server was not reached: {type(error).__name__}: {error}"
            raise ResolveError(text) from error
        finally:
            current_attempt.reset(token)


def _server(server: str | Uri) -> Uri:
    if isinstance(server, Uri):
        return server
    if not isinstance(server, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"server must be host[:port] or a Uri, not {server!r}")
    try:
        host, port = split_authority(server)
        return Uri("tcp", host, PORT if port is None else port)
    except ValueError as error:
        raise ValueError(f"server={server!r}: {error}") from error
