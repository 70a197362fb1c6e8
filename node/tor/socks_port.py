"""Which of Tor's SOCKS ports to use, from its own list (``GETINFO net/listeners/socks``) and its settings."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address

from ziggurat.node.tor.controller import TorError
from ziggurat.node.tor.fields import quoted_strings
from ziggurat.services import Uri

__all__ = ["choose_socks_port"]

UNFIT = frozenset({"oniontrafficonly", "nooniontraffic", "noipv4traffic", "nodnsrequest", "noisolatesocksauth"})
"""Flags of a port for some other program: it refuses part of what a node dials, or lets dials share circuits."""


def choose_socks_port(listeners: str, control: Uri, settings: Iterable[str] = ()) -> Uri:
    """Return the SOCKS port to use: one that is reached as the control port is, loopback first, a unix socket last.

    A port whose flags fit no node comes after all others; among equals, one that tells why an onion service was not
    reached (``ExtendedErrors``) is preferred.

    Args:
        listeners: Tor's list of quoted addresses.
        control: where its control port was reached. Where that is another host, a port on all interfaces is reached by
            the same name, and one on that host's loopback not at all.
        settings: the values of Tor's setting ``SocksPort``, which has the flags.

    Raises:
        TorError: there is none that we can reach; the message says what to do.
    """
    found = quoted_strings(listeners)
    near = control.is_unix or _is_loopback(control.host)
    flags = _flags(settings)
    ports = [
        (uri, flags.get(_key(text), frozenset())) for text in found if (uri := _reached(text, control.host, near=near))
    ]
    if not ports:
        shown = ", ".join(found) or "none"
        raise TorError(f"Tor has no SOCKS port that can be reached from here (its ports: {shown}); give --socks5-proxy")

    def rank(port: tuple[Uri, frozenset[str]]) -> tuple[bool, ...]:
        uri, has = port
        return (bool(has & UNFIT), uri.is_unix, not _is_loopback(uri.host), "extendederrors" not in has)

    return min(ports, key=rank)[0]  # the first of the best


def _flags(settings: Iterable[str]) -> dict[str, frozenset[str]]:
    """Return the flags in lower case of each port in Tor's settings, by its `_key`."""
    known = dict[str, frozenset[str]]()
    for value in settings:
        quoted = quoted_strings(value)
        where = f"unix:{quoted[0]}" if value.startswith("unix:") and quoted else value.partition(" ")[0]
        words = value.rpartition('"')[2] if quoted else value.partition(" ")[2]
        known[_key(where)] = frozenset(words.lower().split())
    return known


def _key(where: str) -> str:
    """Return what a setting and a listener have in common: the path, or the port, since a setting may lack the rest."""
    return where if where.startswith("unix:") else where.rpartition(":")[2]


def _reached(text: str, control_host: str, *, near: bool) -> Uri | None:
    if text.startswith("unix:"):
        return Uri("unix", path=text.removeprefix("unix:")) if near else None
    try:
        uri = Uri.parse(f"socks5://{text}")
    except ValueError:
        return None
    address = _literal(uri.host)
    if address is not None and address.is_unspecified:
        if not near:
            return Uri(uri.scheme, control_host, uri.port)
        return Uri(uri.scheme, "127.0.0.1" if address.version == 4 else "::1", uri.port)
    return None if _is_loopback(uri.host) and not near else uri


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    address = _literal(host)
    return host == "localhost" if address is None else address.is_loopback
