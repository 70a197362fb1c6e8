"""A DNS server for the exits of a private Tor network, which use no other."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["serve_names"]

A, PTR, AAAA = 1, 12, 28
NO_SUCH_NAME = 3

DATA = {
    A: socket.inet_pton(socket.AF_INET, "127.0.0.1"),
    PTR: b"\x04host\x02v4\x04test\x00",
    AAAA: socket.inet_pton(socket.AF_INET6, "::1"),
}

KINDS = {"localhost": (A,), "v4.test": (A,), "v6.test": (AAAA,), "in-addr.arpa": (PTR,)}
"""The names that exist, including all names below them, with the record types that they have; all are loopback,
and an address is host.v4.test."""


@contextmanager
def serve_names(address: str, port: int = 53053) -> Iterator[list[str]]:
    """Answer DNS queries over UDP for the duration of a ``with`` block; yields the list of queried names."""
    asked: list[str] = []

    def serve() -> None:
        while True:
            question, client = server.recvfrom(512)
            if not question:
                return
            server.sendto(answer(question, asked), client)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((address, port))
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield asked
        finally:
            server.sendto(b"", (address, port))
            thread.join()


def answer(question: bytes, asked: list[str]) -> bytes:
    """Return the response to a query (RFC 1035 4). Tor compares the case of names, so the name is echoed as sent."""
    end = question.index(b"\0", 12) + 1
    labels, at = [], 12
    while question[at]:
        labels.append(question[at + 1 : at + 1 + question[at]].decode("latin-1"))
        at += 1 + question[at]
    name = ".".join(labels).lower()
    asked.append(name)
    kind = int.from_bytes(question[end : end + 2], "big")
    kinds = KINDS.get(".".join(name.split(".")[-2:]))
    found = kinds is not None and kind in kinds
    flags = 0x8580 | (NO_SUCH_NAME if kinds is None else 0)
    header = question[:2] + struct.pack("!HHHHH", flags, 1, int(found), 0, 0)
    record = b""
    if found:
        data = DATA[kind]
        record = struct.pack("!HHHIH", 0xC00C, kind, 1, 60, len(data)) + data
    return header + question[12 : end + 4] + record
