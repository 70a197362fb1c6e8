"""The listening socket of a forwarder."""

from __future__ import annotations

import errno
import os
import socket
import stat

from ziggurat.layers.forward.address import ListenAddress

__all__ = ["LocalListener"]

HINTS = {
    errno.EADDRINUSE: "another program uses it",
    errno.EADDRNOTAVAIL: "no interface of this machine has the address",
    errno.EACCES: "not allowed; ports below 1024 are for root",
    errno.EAFNOSUPPORT: "this system has no IPv6",
}

BACKLOG = 1024
"""Connections that the kernel may complete before they are accepted."""


class LocalListener:
    """A socket that listens. A unix socket is for this user alone; one that nobody listens on is replaced.

    Args:
        address: where to listen.

    Attributes:
        socket: non-blocking.
        address: with the port that was taken.

    Raises:
        OSError: the address cannot be listened on; the message names it.
    """

    def __init__(self, address: ListenAddress) -> None:
        self.socket = _open(address)
        self.address = address
        self._file: tuple[int, int] | None = None  # the unix socket's, so that no other one is removed
        if address.path:
            self._file = _file_at(address.path)
        else:
            self.address = ListenAddress(address.host, int(self.socket.getsockname()[1]))

    def close(self) -> None:
        """Stop listening, and remove the unix socket unless another program has replaced it."""
        self.socket.close()
        if self._file is not None and _file_at(self.address.path) == self._file:
            os.unlink(self.address.path)
        self._file = None


def _file_at(path: str) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _open(address: ListenAddress) -> socket.socket:
    try:
        opened = _open_unix(address.path) if address.path else _open_tcp(address)
    except OSError as error:
        why = HINTS.get(error.errno or 0) or error.strerror or str(error)
        raise OSError(error.errno, f"cannot listen on {address}: {why}") from error
    try:
        opened.listen(BACKLOG)
        opened.setblocking(False)
    except BaseException:
        opened.close()
        raise
    return opened


def _open_tcp(address: ListenAddress) -> socket.socket:
    info = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    family, kind, protocol, _, bound = info[0]
    opened = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":  # on Windows it lets two programs take the same port
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.bind(bound)
    except BaseException:
        opened.close()
        raise
    return opened


def _open_unix(path: str) -> socket.socket:
    _remove_stale(path)
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)  # so that the socket never has another mode
    try:
        opened.bind(path)
    except BaseException:
        opened.close()
        raise
    finally:
        os.umask(before)
    return opened


def _remove_stale(path: str) -> None:
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return  # bind() says that it is in the way
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        except OSError:
            pass  # somebody listens, and has no time
