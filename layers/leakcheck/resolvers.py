"""The resolvers of a machine that a program reaches by a unix socket, past any network namespace."""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

__all__ = ["RESOLVERS", "FakeResolver", "asked_name", "present_resolvers"]

RESOLVERS = (
    "/run/nscd/socket",
    "/var/run/nscd/socket",
    "/run/systemd/resolve/io.systemd.Resolve",
    "/run/avahi-daemon/socket",
)
"""The sockets of glibc's name service cache, of systemd's resolver, and of Avahi's (``.local`` names)."""

_HOST_QUESTIONS = {4, 5, 6, 7, 11, 14}
"""Of nscd's requests those about hosts, and for its shared table (glibc, nscd/nscd-client.h)."""

MAX_QUESTION = 4096

PATIENCE = 1.0
"""Seconds that a client has to ask."""


def present_resolvers(paths: Iterable[str] = RESOLVERS) -> list[str]:
    """Return those of the sockets that this machine has, each once."""
    found: dict[str, str] = {}
    for path in paths:
        if Path(path).is_socket():
            found.setdefault(os.path.realpath(path), path)
    return list(found)


def asked_name(resolver: str, request: bytes) -> tuple[bool, str | None]:
    """Return whether a request to a resolver looks a host up, and the name, if it can be read."""
    if resolver.endswith("/nscd/socket"):
        if len(request) < 12:
            return False, None
        _, kind, length = struct.unpack_from("=iii", request)
        key = request[12 : 12 + length].rstrip(b"\0").decode("ascii", "backslashreplace")
        if kind == 11:  # the table of the hosts, or of the users
            return key == "hosts", None
        # Kinds 6 and 7 have a packed address.
        return kind in _HOST_QUESTIONS, key if kind not in (6, 7) else None
    if resolver.endswith("io.systemd.Resolve"):
        try:
            parameters = json.loads(request.partition(b"\0")[0])["parameters"]
            return True, str(parameters["name"])
        except (ValueError, KeyError, TypeError):
            return True, None
    words = request.decode("ascii", "backslashreplace").split()
    return True, words[1] if len(words) > 1 else None  # Avahi: RESOLVE-HOSTNAME-IPV4 name


class FakeResolver:
    """Takes the place of a resolver: reports who asks, and hangs up.

    Args:
        path: where its socket is made.
        resolver: the socket that it stands for.
        report: gets the pid of who asks, the resolver, and the name, if it could be read.
    """

    def __init__(self, path: str, resolver: str, report: Callable[[int, str, str | None], None]) -> None:
        self._resolver = resolver
        self._report = report
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(path)
        os.chmod(path, 0o666)
        self._socket.listen(64)
        threading.Thread(target=self._serve, name="leakcheck-resolver", daemon=True).start()

    def close(self) -> None:
        """Stop."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            with client:
                client.settimeout(PATIENCE)
                try:
                    pid = struct.unpack("=iII", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
                    request = client.recv(MAX_QUESTION)
                except OSError:
                    continue
                is_lookup, name = asked_name(self._resolver, request)
                if is_lookup:
                    self._report(int(pid), self._resolver, name)
