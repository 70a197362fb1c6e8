"""A listener on a unix socket, for a Tor that shares a directory with us."""

from __future__ import annotations

import os
import socket
import stat
from ipaddress import IPv4Address
from pathlib import Path

from ziggurat.node.address import NetAddress
from ziggurat.node.inbound.listener import TcpListener

__all__ = ["UnixListener"]

MODE = 0o666
"""Tor runs as another user, and must be able to write. Who else can connect is for the mode of the directory to say; a
port on loopback is open to every user of the machine, too."""


class UnixListener(TcpListener):
    """A listener on a unix socket. A socket that is left from an earlier run is replaced; any other file is not.

    The address that `start` returns means nothing: a unix socket has none.

    Args:
        path: the socket's path.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(NetAddress(IPv4Address("127.0.0.1"), 0))
        self.shown = f"unix:{path}"
        self._path = path

    def open(self) -> socket.socket:
        opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            if self._path.exists() and stat.S_ISSOCK(self._path.stat().st_mode):
                self._path.unlink()
            opened.bind(str(self._path))
            self._path.chmod(MODE)
            opened.setblocking(False)
        except BaseException as error:
            opened.close()
            if isinstance(error, OSError):
                reason = os.strerror(error.errno) if error.errno else str(error)
                raise OSError(error.errno, f"cannot listen on {self.shown}: {reason}") from error
            raise
        return opened

    async def aclose(self) -> None:
        await super().aclose()
        if self._listening is not None:
            self._path.unlink(missing_ok=True)

    def __repr__(self) -> str:
        return f"UnixListener({self._path})"
