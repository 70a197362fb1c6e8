"""Where a proxy is, seen from this machine, and how it appears in the namespace."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass

from ziggurat.layers.leakcheck.netlink import IP
from ziggurat.services.uri import Uri, split_authority

__all__ = ["ProxyPlace"]

FORMS = "HOST:PORT, [IPv6]:PORT or unix:/PATH"

TIMEOUT = 10.0
"""Seconds to connect to a proxy."""


@dataclass(frozen=True, slots=True)
class ProxyPlace:
    """A proxy's place.

    Attributes:
        text: the place as it was given.
        addresses: the IP addresses; more than one if it was a name, none if it is a unix socket.
        port: the port; 0 of a unix socket.
        name: the name that was resolved; ``None`` if it was none.
        path: the path of the unix socket; ``None`` if it is none.
    """

    text: str
    addresses: tuple[IP, ...] = ()
    port: int = 0
    name: str | None = None
    path: str | None = None

    @classmethod
    def parse(cls, text: str) -> ProxyPlace:
        """Parse a place, and resolve it if it is a name.

        Raises:
            ValueError: it is none of the forms. What may contain a password is not quoted.
            OSError: the name cannot be resolved.
        """
        path = text.removeprefix("unix:")
        if path != text:
            if not path.startswith("/") or path.startswith("//"):
                raise ValueError(f"bad proxy: expected {FORMS}")
            return cls(text, path=path)
        if "@" in text or "://" in text:
            raise ValueError(f"bad proxy: only its address is needed, no scheme and no credentials; expected {FORMS}")
        try:
            host, port = split_authority(text)
            if port is None:
                raise ValueError("the port is missing")
            host = Uri("tcp", host, port).host
        except ValueError as error:
            raise ValueError(f"bad proxy ({error}); expected {FORMS}") from None
        try:
            return cls(text, (ipaddress.ip_address(host),), port)
        except ValueError:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        found = dict.fromkeys(ipaddress.ip_address(str(answer[4][0])) for answer in answers)
        return cls(text, tuple(found), port, name=host)

    def shown(self, address: IP) -> str:
        """Return one of the addresses with the port."""
        return f"[{address}]:{self.port}" if address.version == 6 else f"{address}:{self.port}"

    def connect(self, address: IP | None) -> socket.socket:
        """Connect to the proxy: to one of its addresses, or to its unix socket. Raises `OSError`."""
        if address is not None:
            connected = socket.create_connection((str(address), self.port), TIMEOUT)
        else:
            connected = socket.socket(socket.AF_UNIX)
            try:
                connected.connect(str(self.path))
            except OSError:
                connected.close()
                raise
        connected.settimeout(None)
        return connected
