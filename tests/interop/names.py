"""A DNS server for the exits of a private Tor network: they ask nobody else."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["serve_names"]

A, AAAA = 1, 28
NO_SUCH_NAME = 3

ADDRESSES = {A: socket.inet_pton(socket.AF_INET, "127.0.0.1"), AAAA: socket.inet_pton(socket.AF_INET6, "::1")}

KINDS = {"localhost": (A,), "v4.test": (A,), "v6.test": (AAAA,)}
"""The names that exist, with all names below them, and the kinds of addresses that they have: this machine's."""


@contextmanager
def serve_names(address: str, port: int = 53053) -> Iterator[list[str]]:
    """Answer DNS questions over UDP for the length of a ``with`` block; gives the list of names that were asked for."""
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
    """The answer to one question (RFC 1035 4). Tor compares the name letter by letter, so it is echoed as it came."""
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
        data = ADDRESSES[kind]
        record = struct.pack("!HHHIH", 0xC00C, kind, 1, 60, len(data)) + data
    return header + question[12 : end + 4] + record
