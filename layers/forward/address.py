"""Where a forwarder listens."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from ziggurat.services.uri import Uri, split_authority

__all__ = ["LISTEN_SYNTAX", "ListenAddress", "is_loopback"]

LISTEN_SYNTAX = "PORT, IP:PORT, [IPv6]:PORT, localhost:PORT or unix:/path"


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """An address to listen on.

    Attributes:
        host: an IP address without brackets; empty for a unix socket.
        port: 0 takes any free port.
        path: the path of a unix socket; empty for TCP.
    """

    host: str = "127.0.0.1"
    port: int = 0
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> ListenAddress:
        """Parse ``PORT`` and ``localhost:PORT`` (both 127.0.0.1), ``IP:PORT``, ``[IPv6]:PORT`` or ``unix:/path``.

        Raises:
            ValueError: a part is wrong; the message quotes it.
        """
        if text.startswith("unix:"):
            return cls("", 0, Uri.parse(text).path)
        try:
            host, port = split_authority(f":{text}" if text.isdigit() else text)
        except ValueError as error:
            raise ValueError(f"{error}; expected {LISTEN_SYNTAX}") from None
        if port is None:
            raise ValueError(f"no port in {text!r}; expected {LISTEN_SYNTAX}")
        if port > 65535:
            raise ValueError(f"bad port: {port} (0 to 65535)")
        host = "127.0.0.1" if host in ("", "localhost") else host
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise ValueError(f"bad address {host!r}: expected {LISTEN_SYNTAX}") from None
        return cls(host, port)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        return bool(self.path) or is_loopback(self.host)

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def is_loopback(host: str) -> bool:
    """Whether an IP address is reached from this machine only."""
    address = ipaddress.ip_address(host)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback
