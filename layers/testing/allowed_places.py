"""The places that a leak guard allows: addresses, networks, names and unix sockets."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias, cast

from ziggurat.services.uri import Uri, split_authority

__all__ = ["AllowedPlaces"]

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

FORMS = "HOST[:PORT], [IPv6]:PORT, NETWORK/BITS, unix:/PATH, unix:* or a Uri"

ANY_SOCKET = "*"


@dataclass(frozen=True, slots=True)
class AllowedPlaces:
    """What may be connected to and looked up.

    Attributes:
        networks: each with its port; ``None`` for any port.
        names: what may be looked up, in lower case.
        sockets: the paths of unix sockets; ``*`` for all.
    """

    networks: tuple[tuple[Network, int | None], ...] = ()
    names: frozenset[str] = frozenset()
    sockets: frozenset[str] = frozenset()

    def with_places(self, places: Iterable[str | Uri]) -> AllowedPlaces:
        """Return these and more. A name is resolved here, and its addresses are allowed, too.

        Args:
            places: as `no_leaks` takes them.

        Raises:
            TypeError, ValueError: a place is wrong; the message quotes it.
            OSError: a name cannot be resolved.
        """
        if isinstance(places, (str, Uri)):
            raise TypeError(f"allow takes a list of places, not {places!r}: write [{places!r}]")
        allowed = self
        for place in places:
            allowed = allowed._with(place)
        return allowed

    def _with(self, place: str | Uri) -> AllowedPlaces:
        if isinstance(place, Uri):
            if place.is_unix:
                # The system has a NUL before an abstract name.
                return self._with_socket(place.path if place.scheme == "unix" else f"\0{place.path}")
            return self._with_host(place.host, place.port)
        if not isinstance(cast(object, place), str):
            raise TypeError(f"a place is {FORMS}, not {place!r}")
        if place.startswith("unix:"):
            path = place.removeprefix("unix:")
            if not path or path.startswith("//"):
                raise ValueError(f"bad place: {place!r}; write unix:/path")
            return self._with_socket(path)
        if "/" in place:
            try:
                network = ipaddress.ip_network(place)
            except ValueError as error:
                raise ValueError(f"bad place: {place!r} ({error}); expected {FORMS}") from None
            return AllowedPlaces((*self.networks, (network, None)), self.names, self.sockets)
        try:
            if place.count(":") > 1 and not place.startswith("["):
                host, port = str(ipaddress.IPv6Address(place)), None
            else:
                host, port = split_authority(place)
            host = Uri("tcp", host, port or 1).host
        except ValueError as error:
            raise ValueError(f"bad place: {place!r} ({error}); expected {FORMS}") from None
        return self._with_host(host, port)

    def _with_socket(self, path: str) -> AllowedPlaces:
        return AllowedPlaces(self.networks, self.names, self.sockets | {path})

    def _with_host(self, host: str, port: int | None) -> AllowedPlaces:
        if (literal := _address(host)) is not None:
            found, names = [literal], self.names
        else:
            answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            found = [ipaddress.ip_address(str(answer[4][0]).partition("%")[0]) for answer in answers]
            names = self.names | {host.lower()}
        networks = tuple((ipaddress.ip_network(address), port) for address in found)
        return AllowedPlaces(self.networks + networks, names, self.sockets)

    def address(self, family: int, address: object) -> bool:
        """Return whether a socket of this family may connect or send to ``address``, as the system takes it."""
        if family in (socket.AF_INET, socket.AF_INET6):
            # Whatever does not look like an address is refused by the system.
            return not isinstance(address, tuple) or self._ip(str(address[0]), address[1])  # pyright: ignore[reportUnknownArgumentType]
        if family == getattr(socket, "AF_UNIX", None):
            path = os.fsdecode(cast("str | bytes", address))
            return ANY_SOCKET in self.sockets or path in self.sockets
        # Netlink and the like end in the kernel. Bluetooth, vsock and raw packets do not.
        return family == getattr(socket, "AF_NETLINK", None)

    def _ip(self, host: str, port: object) -> bool:
        address = _address(host)
        if address is None:
            return host == "" or host.lower() in self.names  # the system has looked it up; "" is this machine
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network and only in (None, port) for network, only in self.networks)

    def name(self, name: str, *, reverse: bool) -> bool:
        """Return whether ``name`` may be looked up. An address is no look-up, unless its name is what is asked for."""
        literal = _address(name)
        if literal is not None:
            return not reverse or any(literal in network for network, _ in self.networks)
        wanted = name.lower().removesuffix(".")
        # RFC 6761 6.3: localhost is never asked of a name server.
        return wanted in ("", "localhost") or wanted in self.names


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
