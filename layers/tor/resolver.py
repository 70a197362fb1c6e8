"""Look names and addresses up through Tor, without a tunnel: RESOLVE and RESOLVE_PTR.

It is no ``TcpConnector(resolver=)``: whoever dials the answer directly shows the target what Tor hides. `TorLayer`
needs no look-up at all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address

from ziggurat.layers.socks5.auth import Credentials, credentials_source
from ziggurat.layers.socks5.look_up import ANY_PORT, resolve_address, resolve_name
from ziggurat.layers.tor.layer import Isolation, isolation, socks_port
from ziggurat.services.dial import dial
from ziggurat.services.errors import ResolveError
from ziggurat.services.limit import Limit
from ziggurat.services.onion import is_onion
from ziggurat.services.service import Connector
from ziggurat.services.socket import SocketConnector
from ziggurat.services.uri import Uri
from ziggurat.services.validation import check_seconds

__all__ = ["TorResolver"]


@dataclass(frozen=True, slots=True)
class TorResolver:
    """Asks Tor's exits for the address of a name, or for the name of an address (phase ``proxy.resolve``).

    Args:
        socks: Tor's SOCKS port: ``host[:port]`` (port 9050 if it has none), ``unix:/path``, or a `Uri`.
        connector: reaches the SOCKS port.
        isolate: which look-ups may share a circuit; see `TorLayer`. A function gets a Uri with the name or the address
            as its host.
        timeout: seconds for a look-up; ``None`` for no limit.

    Raises:
        TypeError, ValueError: an argument is wrong.
    """

    socks: str | Uri = "127.0.0.1:9050"
    connector: Connector = field(default_factory=SocketConnector)
    isolate: Isolation = "dial"
    timeout: float | None = 10.0
    _credentials: Callable[[Uri], Credentials | None] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "socks", socks_port(self.socks))
        object.__setattr__(self, "_credentials", credentials_source(isolation(self.isolate)))
        check_seconds("timeout", self.timeout)
        if not callable(self.connector):
            raise TypeError(f"connector must be an async function of a Uri, not {self.connector!r}")

    async def resolve(self, name: str) -> str:
        """Return an IP address of ``name``: the one that the exit prefers, usually IPv4.

        Raises:
            ValueError: ``name`` is no host name.
            ResolveError: it is an onion service, which has no address; or the answer is none.
            ProxyError: the proxy failed or refused; reply 04 means that the name has no address.
            ConnectTimeout: ``timeout`` ran out.
            ConnectError: Tor was not reached.
        """
        target = Uri("tcp", name, ANY_PORT)
        with dial(target), Limit(self.timeout, "TorResolver timeout"):
            if is_onion(target.host):
                raise ResolveError(f"{target.host}: onion services have no address", transient=False)
            return await resolve_name(self.connector, socks_port(self.socks), target.host, self._credentials(target))

    async def reverse(self, address: str) -> str:
        """Return the name of an IP address, without a trailing dot.

        Raises:
            ValueError: ``address`` is no IP address.
            ResolveError, ProxyError, ConnectTimeout, ConnectError: as for `resolve`.
        """
        target = Uri("tcp", str(ip_address(address)), ANY_PORT)
        with dial(target), Limit(self.timeout, "TorResolver timeout"):
            return await resolve_address(self.connector, socks_port(self.socks), target.host, self._credentials(target))
