"""Dial a TCP address: resolve the name, then race its addresses.

The two steps are separate phases, ``dns`` and ``tcp``, so that an error says which one failed. The race is Happy
Eyeballs (RFC 8305): address families alternate, an attempt starts every quarter of a second or as soon as the previous
one fails, the first to connect wins, and the others are closed.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import chain, zip_longest

import anyio
import sniffio
from anyio.abc import ByteStream, SocketAttribute, SocketStream

from ziggurat.services.dial import dial, phase
from ziggurat.services.errors import ConnectError, ConnectRefused, ResolveError
from ziggurat.services.limit import Limit
from ziggurat.services.resolver import Resolver, ask, look_up
from ziggurat.services.silently_direct import note_direct_dial
from ziggurat.services.stream import ObservedStream, WrappedStream
from ziggurat.services.system_error import reason, system_error
from ziggurat.services.transport_stream import StreamProtocol, TransportStream
from ziggurat.services.uri import Uri
from ziggurat.services.validation import check_seconds

__all__ = ["TcpConnector", "is_self_connected"]


@dataclass(frozen=True, slots=True, repr=False)
class TcpConnector:
    """The leaf that opens a TCP connection, with ``TCP_NODELAY`` on.

    It returns a `TransportStream` on asyncio, and a `WrappedStream` over anyio's socket stream on trio.

    Args:
        timeout: seconds for ``tcp`` alone, from the first attempt to an open connection; ``None`` for no limit.
        local_address: IP address to dial from; ``None`` leaves the choice to the system. Only addresses of its
            family are tried.
        happy_eyeballs_delay: seconds before the next address is tried alongside a slow one (RFC 8305 section 8).
        dns_timeout: seconds for ``dns``; ``None`` for no limit.
        resolver: looks names up: a `DnsResolver`, `StaticHosts`, or an async function from a name to its addresses.
            ``None`` for the system's. With another one nothing asks the system for the target's name.

    Raises:
        TypeError, ValueError: a duration is not a positive number, the local address is not an IP address, or the
            resolver is not a function.
    """

    timeout: float | None = None
    local_address: str | None = None
    happy_eyeballs_delay: float = 0.25
    dns_timeout: float | None = 5.0
    resolver: Resolver | None = None

    def __post_init__(self) -> None:
        check_seconds("timeout", self.timeout)
        check_seconds("dns_timeout", self.dns_timeout)
        check_seconds("happy_eyeballs_delay", self.happy_eyeballs_delay, optional=False)
        if self.local_address is not None:
            try:
                ip_address(self.local_address)
            except ValueError as error:
                raise ValueError(f"local_address must be an IP address, not {self.local_address!r}") from error
        if self.resolver is not None and (isinstance(self.resolver, type) or not callable(self.resolver)):
            raise TypeError(f"resolver must be an async function from a name to addresses, not {self.resolver!r}")

    async def __call__(self, uri: Uri, /) -> ByteStream:
        """Open a connection to ``uri``, whatever its scheme.

        Raises:
            ResolveError: phase ``dns``.
            ConnectRefused, ConnectError: phase ``tcp``.
            ConnectTimeout: ``dns_timeout`` or ``timeout`` ran out.
        """
        with dial(uri) as current:
            via = None if uri == current.ledger.target else uri.authority
            if via is None:
                note_direct_dial(uri)
            if uri.is_unix:
                raise ConnectError(f"TcpConnector cannot dial {uri}", hint="use SocketConnector", transient=False)
            addresses = [uri.host]
            if not uri.is_literal:
                with Limit(self.dns_timeout, "dns_timeout") as limit, phase("dns", via=via, limit=limit):
                    addresses = await _resolve(uri.host, self.local_address, self.resolver)
            with Limit(self.timeout, "TcpConnector timeout") as limit, phase("tcp", via=via, limit=limit):
                stream = await self._connect(addresses, uri.port)
                return current.established(stream)

    def __repr__(self) -> str:
        names = ["timeout", "local_address", "happy_eyeballs_delay", "dns_timeout"]
        names += [] if self.resolver is None else ["resolver"]
        return f"TcpConnector({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"

    async def _connect(self, addresses: list[str], port: int) -> ObservedStream:
        if len(addresses) > 1:
            return await self._race(addresses, port)
        try:
            return await _open(addresses[0], port, self.local_address)
        except OSError as error:
            raise _connect_error(addresses, [error]) from error

    async def _race(self, addresses: list[str], port: int) -> ObservedStream:
        winner: ObservedStream | None = None
        errors: list[OSError] = []

        async def attempt(address: str, done: anyio.Event) -> None:
            nonlocal winner
            try:
                stream = await _open(address, port, self.local_address)
            except OSError as error:
                errors.append(error)
            else:
                if winner is None:
                    winner = stream
                    group.cancel_scope.cancel()
                else:
                    await anyio.aclose_forcefully(stream)
            finally:
                done.set()

        try:
            async with anyio.create_task_group() as group:
                for address in addresses:
                    if winner is not None:
                        break  # in the same cycle of the loop in which the attempt that is awaited here failed
                    done = anyio.Event()
                    group.start_soon(attempt, address, done)
                    with anyio.move_on_after(self.happy_eyeballs_delay):
                        await done.wait()
        except BaseException:
            if winner is not None:
                await anyio.aclose_forcefully(winner)
            raise
        if winner is None:
            raise _connect_error(addresses, errors) from errors[-1]
        return winner


async def _resolve(host: str, local_address: str | None, resolver: Resolver | None = None) -> list[str]:
    family = socket.AF_UNSPEC
    if local_address is not None:
        family = socket.AF_INET6 if ":" in local_address else socket.AF_INET
    if resolver is None:
        addresses = await look_up(host, family=family)
    else:
        addresses = _of_family(host, await ask(resolver, host), family)
    # RFC 8305 section 4: alternate the families, beginning with the one that the system's order (RFC 6724) puts first.
    first = [a for a in addresses if (":" in a) == (":" in addresses[0])]
    second = [a for a in addresses if (":" in a) != (":" in addresses[0])]
    return [a for a in chain.from_iterable(zip_longest(first, second)) if a is not None]


def _of_family(host: str, addresses: list[str], family: socket.AddressFamily) -> list[str]:
    if family is socket.AF_UNSPEC:
        return addresses
    found = [address for address in addresses if (":" in address) == (family is socket.AF_INET6)]
    if not found:
        raise ResolveError(f"{host}: no address of the family of local_address", transient=False)
    return found


async def _open(address: str, port: int, local_address: str | None) -> ObservedStream:
    stream = await _open_any(address, port, local_address)
    if is_self_connected(stream):
        await anyio.aclose_forcefully(stream)
        raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
    return stream


def is_self_connected(stream: ObservedStream) -> bool:
    """Whether both ends of a connection are one socket.

    A dial to a local port of the ephemeral range, on which nothing listens, may get that very port as its own, and is
    then answered by itself: TCP's simultaneous open (RFC 9293 3.5). Go's net package looks for it, too.
    """
    if isinstance(stream, TransportStream):
        return stream.is_self_connected  # without the typed attributes, which take a twentieth of a dial
    local = stream.extra(SocketAttribute.local_address, None)
    return local is not None and local == stream.extra(SocketAttribute.remote_address, None)


async def _open_any(address: str, port: int, local_address: str | None) -> ObservedStream:
    if sniffio.current_async_library() == "asyncio":
        local = None if local_address is None else (local_address, 0)
        transport, protocol = await asyncio.get_running_loop().create_connection(
            StreamProtocol, address, port, local_addr=local
        )
        return TransportStream(transport, protocol)
    if local_address is None:
        return WrappedStream(await anyio.connect_tcp(address, port))
    return WrappedStream(await _open_bound(address, port, local_address))


async def _open_bound(address: str, port: int, local_address: str) -> ByteStream:
    # On trio anyio's connect_tcp(local_host=) leaks its socket when binding fails or is cancelled.
    raw = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        raw.setblocking(False)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            raw.bind((local_address, 0))
        except socket.gaierror as error:
            raise OSError(f"the local address {local_address} is of the other family") from error
        try:
            raw.connect((address, port))
        except BlockingIOError:
            await anyio.wait_writable(raw)
        if number := raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(number, os.strerror(number))
        return await SocketStream.from_socket(raw)
    except BaseException:
        raw.close()
        raise


def _connect_error(addresses: list[str], errors: list[OSError]) -> ConnectError:
    reasons = "; ".join(dict.fromkeys(reason(error) for error in errors))
    message = f"{reasons} ({', '.join(addresses)})"
    if all(isinstance(system_error(error), ConnectionRefusedError) for error in errors):
        return ConnectRefused(message, hint="nothing listens there")
    return ConnectError(message)
