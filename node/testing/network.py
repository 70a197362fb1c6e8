"""A network in memory: hosts with their own addresses, for running a whole fleet of nodes in one process.

A dial connects at once, and the connection is a pair of `MemoryStream`. The machine's own network is not used, so it
works in virtual time.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from ipaddress import ip_address

from anyio import BrokenResourceError
from anyio.abc import ByteStream, SocketAttribute

from ziggurat.layers.testing.memory import MemoryStream, stream_pair
from ziggurat.node.address import NetAddress
from ziggurat.services.dial import dial, phase
from ziggurat.services.errors import ConnectError, ConnectRefused, ResolveError
from ziggurat.services.stream_transport import StreamTransport
from ziggurat.services.uri import Uri

__all__ = ["MemoryHost", "MemoryListener", "MemoryNetwork"]

Factory = Callable[[], asyncio.Protocol]


class MemoryNetwork:
    """A network of hosts.

    Args:
        buffer_size: bytes that each direction of a connection buffers.

    Attributes:
        buffer_size: as above.
        names: the IP address of each name, as a resolver or a proxy would return it.
        dials: all targets dialled so far, in order.
        listening: the listeners by address.
    """

    def __init__(self, buffer_size: int = 256 * 1024) -> None:
        self.buffer_size = buffer_size
        self.names: dict[str, str] = {}
        self.dials: list[Uri] = []
        self.listening: dict[NetAddress, MemoryListener] = {}

    def host(self, ip: str) -> MemoryHost:
        """Return a new host with this IP address."""
        return MemoryHost(self, ip)


class MemoryHost:
    """One host: a connector for its dials, and `listener` for its ports. `die` cuts all its connections."""

    def __init__(self, network: MemoryNetwork, ip: str) -> None:
        self.network = network
        self.ip = str(ip_address(ip))
        self._ports = itertools.count(40000)
        self._streams: set[MemoryStream] = set()
        self._dead = False

    async def __call__(self, uri: Uri, /) -> ByteStream:
        """Dial, as a leaf does.

        Raises:
            ResolveError, ConnectRefused: the name is unknown; nothing listens at the address.
        """
        with dial(uri) as current:
            self.network.dials.append(uri)
            address = await self._resolve(uri)
            with phase("tcp"):
                if self._dead:
                    raise ConnectError("network is unreachable")
                listener = self.network.listening.get(address)
                if listener is None:
                    raise ConnectRefused(f"connection refused ({address})", hint="nothing listens there")
                near, far = stream_pair(self.network.buffer_size)
                listener.accept(far, NetAddress(ip_address(self.ip), next(self._ports)))
                self.track(near, address)
                return current.established(near)

    def listener(self, port: int) -> MemoryListener:
        """Return a listener on a port of this host, for an `Adaptor`."""
        return MemoryListener(self, NetAddress(ip_address(self.ip), port))

    def die(self) -> None:
        """Cut every connection and refuse new ones, as a host that lost power and rebooted without the node."""
        self._dead = True
        for address in [address for address in self.network.listening if str(address.ip) == self.ip]:
            del self.network.listening[address]
        for stream in self._streams:
            stream.reset()
        self._streams.clear()

    def track(self, stream: MemoryStream, remote: NetAddress) -> None:
        """Record this host's end of a connection, and set the address of the other end on it."""
        stream.attributes[SocketAttribute.remote_address] = lambda: (str(remote.ip), remote.port)
        self._streams = {kept for kept in self._streams if not kept.closed}
        self._streams.add(stream)

    async def _resolve(self, uri: Uri) -> NetAddress:
        if uri.is_literal:
            return NetAddress(ip_address(uri.host), uri.port)
        with phase("dns"):
            if uri.host not in self.network.names:
                raise ResolveError(f"{uri.host}: unknown name")
            return NetAddress(ip_address(self.network.names[uri.host]), uri.port)


class MemoryListener:
    """A listener on a port of a `MemoryHost`."""

    def __init__(self, host: MemoryHost, address: NetAddress) -> None:
        self._host = host
        self._address = address
        self._factory: Factory | None = None

    async def start(self, factory: Factory, /) -> NetAddress:
        if self._address in self._host.network.listening:
            raise OSError(f"address in use: {self._address}")
        self._factory = factory
        self._host.network.listening[self._address] = self
        return self._address

    async def aclose(self) -> None:
        self._factory = None
        if self._host.network.listening.get(self._address) is self:
            del self._host.network.listening[self._address]

    def accept(self, stream: MemoryStream, remote: NetAddress) -> None:
        """Accept a connection from ``remote``."""
        if self._factory is None:
            raise BrokenResourceError
        self._host.track(stream, remote)
        StreamTransport(stream, self._factory())
