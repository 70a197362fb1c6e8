"""The settings of Tor's control port and of the onion service: their syntax, and what cannot work together."""

from __future__ import annotations

import os
from ipaddress import ip_address
from pathlib import Path
from typing import TypeAlias

from ziggurat.node.address import NetAddress, why_undiallable
from ziggurat.services.host import literal
from ziggurat.services.uri import Uri, split_authority

__all__ = [
    "CONTROL_SYNTAX",
    "ONION_BIND_SYNTAX",
    "OnionBind",
    "find_tor_contradiction",
    "parse_onion_bind",
    "parse_tor_control",
]

CONTROL_PORT = 9051

CONTROL_SYNTAX = "HOST[:PORT], [IPv6][:PORT] or unix:/PATH"

ONION_BIND_SYNTAX = "IP[:PORT] or unix:/PATH"

MAX_UNIX_PATH = 103
"""Bytes: ``sun_path`` has 104 on BSD and macOS and 108 on Linux, including the terminating zero."""

OnionBind: TypeAlias = NetAddress | Path
"""Where Tor hands over what comes in by the onion service: an address, or the path of a unix socket."""


def parse_tor_control(text: str) -> Uri:
    """Parse the value of ``--tor-control``; the default port is 9051.

    Raises:
        ValueError: it is none.
    """
    if text.startswith("unix:"):
        return Uri("unix", path=str(_socket_path(text)))
    if text.startswith("/"):
        raise ValueError(f"a unix socket is written unix:{text}")
    if "://" in text or "@" in text:
        raise ValueError("a control port has no scheme and no credentials")
    host, port = split_authority(text)
    control = Uri("tcp", host, CONTROL_PORT if port is None else port)
    if (address := literal(control.host)) is not None and (address.is_unspecified or address.is_multicast):
        raise ValueError(f"nothing is reached at {address}; a Tor that listens on all interfaces here is at 127.0.0.1")
    return control


def parse_onion_bind(text: str, port: int) -> OnionBind:
    """Parse the value of ``--onion-bind``.

    Raises:
        ValueError: it is none, or Tor could not connect to it.
    """
    if text.startswith("unix:"):
        path = _socket_path(text)
        if not text.isascii() or any(character in text for character in '\r\n "'):
            raise ValueError("Tor's control protocol cannot say such a path")
        return path
    address = NetAddress.parse(text, port)
    if address.ip.is_unspecified:
        raise ValueError("Tor needs an address that it can connect to, not that of all interfaces")
    if address.ip.version == 6 and address.ip.is_link_local:
        raise ValueError("a link-local address needs a zone, which Tor's control protocol cannot say")
    if (reason := why_undiallable(address.ip)) is not None:
        raise ValueError(f"Tor cannot connect to {reason}")
    return address


def find_tor_contradiction(
    control: Uri | None,
    *,
    password_file: Path | None,
    cookie: Path | None,
    listen_onion: bool,
    onion_public: bool,
    onion_bind: OnionBind | None,
    accepts_peers: bool,
) -> str | None:
    """Return why settings of Tor cannot work together, in one line that names them; ``None`` if they can.

    Args:
        control: the address of the control port.
        password_file: the file with its password.
        cookie: its cookie file.
        listen_onion: whether there is to be an onion service.
        onion_public: whether all peers are to be told of it.
        onion_bind: where Tor hands over its connections; ``None`` for loopback.
        accepts_peers: whether other settings let the node accept peers at all.
    """
    if password_file is not None and cookie is not None:
        return "tor-password-file and tor-cookie are mutually exclusive: Tor takes one of them"
    if onion_public and not listen_onion:
        return "onion-public needs listen-onion, the onion service that it tells of"
    if control is None:
        given = {
            "listen-onion": listen_onion,
            "tor-password-file": password_file is not None,
            "tor-cookie": cookie is not None,
        }
        name = next((name for name, is_given in given.items() if is_given), None)
        return None if name is None else f"{name} needs tor-control, the address of Tor's control port"
    if listen_onion and not accepts_peers:
        return "listen-onion needs inbound peers, which connect and maxinpeers 0 exclude"
    if listen_onion and onion_bind is None and not _is_near(control):
        return (
            f"Tor at {control.authority} is not on this machine, so it cannot reach 127.0.0.1: onion-bind must name an "
            "address that it reaches"
        )
    return None


def _is_near(control: Uri) -> bool:
    if control.is_unix or control.host == "localhost":
        return True
    try:
        return ip_address(control.host).is_loopback
    except ValueError:
        return False


def _socket_path(text: str) -> Path:
    path = text.removeprefix("unix:")
    if path.startswith("//"):
        path = path.removeprefix("//")
    if not path.startswith("/"):
        raise ValueError("a unix socket needs its whole path")
    if len(os.fsencode(path)) > MAX_UNIX_PATH:
        raise ValueError(f"the path of a unix socket is limited to {MAX_UNIX_PATH} bytes")
    if "\0" in path:
        raise ValueError("not a path")
    return Path(path)
