"""Who is at the other end: how it is reached, what tells it from others, and what it said of itself."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal, NamedTuple, TypeAlias

from ziggurat.node.address import NetAddress
from ziggurat.services.uri import Uri, split_authority

__all__ = [
    "PROXIED",
    "Direction",
    "NamedAddress",
    "PeerAddress",
    "PeerInfo",
    "PeerKey",
    "parse_peer_address",
    "peer_key",
]

Direction: TypeAlias = Literal["inbound", "outbound"]

PROXIED = "proxied"
"""Stands for the IP of a peer that came in through a proxy or an onion service: the socket shows our own end."""


@dataclass(frozen=True, slots=True)
class NamedAddress:
    """A name and a port: a DNS name, which a proxy resolves, or an onion service. It is never compared with an IP.

    Attributes:
        name: made lower case and checked, as `Uri` does it.
        port: 1 to 65535.

    Raises:
        ValueError: the name or the port is wrong; or the name is an IP address.
    """

    name: str
    port: int

    def __post_init__(self) -> None:
        uri = Uri("http", self.name, self.port)
        if uri.is_literal:
            raise ValueError(f"{self.name!r} is an IP address and no name: use NetAddress")
        object.__setattr__(self, "name", uri.host)

    def uri(self) -> Uri:
        """The target of a dial to it."""
        return Uri("http", self.name, self.port)

    def __str__(self) -> str:
        return f"{self.name}:{self.port}"


PeerAddress: TypeAlias = NetAddress | NamedAddress


def parse_peer_address(text: str, default_port: int | None = None) -> PeerAddress:
    """Read ``IP[:PORT]`` or ``NAME[:PORT]``.

    Args:
        text: an IPv6 address with a port stands in brackets.
        default_port: taken where the text has none; ``None`` makes that an error.

    Raises:
        ValueError: it is neither; the message quotes it.
    """
    try:
        return NetAddress.parse(text, default_port)
    except ValueError:
        if _is_ip(text):
            raise
    host, port = split_authority(text)
    if _is_ip(host):
        return NetAddress.parse(text, default_port)  # which says what is wrong with the port
    port = default_port if port is None else port
    if port is None:
        raise ValueError(f"bad address: {text!r} has no port")
    return NamedAddress(host, port)


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


class PeerKey(NamedTuple):
    """What makes two connections one peer: the id and the host. The port is no part of it: an inbound one is random.

    Attributes:
        id: 16 bytes, as the peer says.
        host: the canonical IP as text, the name that was dialled, or `PROXIED`.
    """

    id: bytes
    host: str


def peer_key(id: bytes, address: PeerAddress, *, proxied: bool = False) -> PeerKey:
    """The key of a peer at ``address``; ``proxied`` for an inbound one whose own address nobody here can see."""
    if proxied:
        return PeerKey(id, PROXIED)
    return PeerKey(id, address.name if isinstance(address, NamedAddress) else str(address.ip))


@dataclass(frozen=True, slots=True)
class PeerInfo:
    """One peer that has come through the handshake.

    Attributes:
        id: 16 bytes, of its process.
        address: where it was dialled, or where it came from.
        direction: ``outbound``: we dialled.
        via: the proxy that the dial went through, ``proxied`` for an inbound peer behind one; ``None`` when direct.
        user_agent: text of the peer's choice.
        protocol_version: the highest one that the peer speaks.
        network: e.g. ``kaspa-mainnet``.
        services: 0; no bit has a meaning.
        connected_at: seconds of the event loop's clock.
        ping: seconds of the last round trip; ``None`` before there was one.
    """

    id: bytes
    address: PeerAddress
    direction: Direction
    via: str | None
    user_agent: str
    protocol_version: int
    network: str
    services: int
    connected_at: float
    ping: float | None = None

    @property
    def key(self) -> PeerKey:
        """What makes two connections one peer."""
        return peer_key(self.id, self.address, proxied=self.direction == "inbound" and self.via is not None)
