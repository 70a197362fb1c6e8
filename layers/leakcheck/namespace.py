"""A network namespace in which every address but a few leads into a sink. Runs in a process of its own."""

from __future__ import annotations

import ctypes
import ipaddress
import os
import socket
from collections.abc import Iterable
from pathlib import Path

from ziggurat.layers.leakcheck.netlink import IP, Netlink

__all__ = ["SINK", "CommandError", "NamespaceError", "enter_namespace", "lay_out", "mount_over"]

SINK, DRAIN = "sink0", "sink1"
"""The interface that all else leads to, and its other end, where it is recorded."""

SINK_ADDRESSES = (ipaddress.ip_address("10.254.254.1"), ipaddress.ip_address("fd00:6c65:616b::1"))

# linux/sched.h and linux/mount.h
_NEW_USER, _NEW_NET, _NEW_MOUNTS = 0x10000000, 0x40000000, 0x00020000
_BIND, _RECURSIVE, _PRIVATE = 0x1000, 0x4000, 0x40000


class NamespaceError(RuntimeError):
    """This machine does not allow it. The message is one line that says what is needed."""


class CommandError(RuntimeError):
    """The command cannot be run. The message is one line that says why."""


def enter_namespace() -> None:
    """Move this process, which must have one thread only, to network and mount namespaces of its own.

    Root needs nothing more. Another user gets a user namespace around them, in which it keeps its user and group.

    Raises:
        NamespaceError: this machine does not allow it.
    """
    user, group = os.geteuid(), os.getegid()
    try:
        try:
            _unshare(_NEW_NET | _NEW_MOUNTS)
        except PermissionError:
            _unshare(_NEW_USER | _NEW_NET | _NEW_MOUNTS)
            Path("/proc/self/setgroups").write_text("deny")  # else no user may write gid_map (user_namespaces(7))
            Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
            Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
        _mount(None, "/", _PRIVATE | _RECURSIVE)
    except OSError as error:
        reason = f"no network namespace can be made ({error.strerror})"
        raise NamespaceError(f"{reason}; run it as root, or allow user namespaces to users") from None


def lay_out(addresses: Iterable[IP]) -> None:
    """Lay the network out: loopback with some addresses of other machines, and everything else into the sink.

    Raises:
        NamespaceError: the kernel does not let us.
    """
    try:
        with Netlink() as netlink:
            netlink.bring_up("lo")
            for address in addresses:
                netlink.add_address("lo", address)
            netlink.add_pair(SINK, DRAIN)
            for name in (SINK, DRAIN):
                netlink.bring_up(name, no_arp=True)
            for address in SINK_ADDRESSES:
                if address.version == 6 and not Path("/proc/sys/net/ipv6").exists():
                    continue
                netlink.add_address(SINK, address)
                netlink.route_all(SINK, socket.AF_INET if address.version == 4 else socket.AF_INET6)
    except OSError as error:
        raise NamespaceError(f"the network of the namespace cannot be laid out ({error.strerror})") from None


def mount_over(source: str, target: str) -> None:
    """Let a file, or a socket, of the system be another one in this mount namespace.

    Raises:
        NamespaceError: the kernel does not let us.
    """
    try:
        _mount(source, target, _BIND)
    except OSError as error:
        raise NamespaceError(f"{target} cannot be replaced in the namespace ({error.strerror})") from None


def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _unshare(flags: int) -> None:
    # os.unshare is new in Python 3.12.
    _check(int(_library().unshare(flags)))


def _mount(source: str | None, target: str, flags: int) -> None:
    given = None if source is None else os.fsencode(source)
    _check(int(_library().mount(given, os.fsencode(target), None, ctypes.c_ulong(flags), None)))


def _check(result: int) -> None:
    if result:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
