"""Which of Tor's SOCKS ports to use, from its own list (``GETINFO net/listeners/socks``)."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address

from ziggurat.node.tor.controller import TorError
from ziggurat.services import Uri

__all__ = ["choose_socks_port"]

_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')


def choose_socks_port(listeners: str, control: Uri) -> Uri:
    """Return the SOCKS port to use: one that is reached as the control port is, loopback first, a unix socket last.

    Args:
        listeners: Tor's list of quoted addresses.
        control: where its control port was reached. Where that is another host, a port on all interfaces is reached by
            the same name, and one on that host's loopback not at all.

    Raises:
        TorError: there is none that we can reach; the message says what to do.
    """
    found = [each.replace('\\"', '"').replace("\\\\", "\\") for each in _QUOTED.findall(listeners)]
    near = control.is_unix or _is_loopback(control.host)
    ports = [uri for uri in (_reached(text, control.host, near=near) for text in found) if uri is not None]
    if not ports:
        shown = ", ".join(found) or "none"
        raise TorError(f"Tor has no SOCKS port that can be reached from here (its ports: {shown}); give --socks5-proxy")
    return min(ports, key=lambda uri: (uri.is_unix, not _is_loopback(uri.host)))  # the first of the best


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
