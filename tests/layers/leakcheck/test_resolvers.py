from __future__ import annotations

import json
import os
import queue
import socket
import struct
from pathlib import Path

import pytest

from ziggurat.layers.leakcheck.resolvers import FakeResolver, asked_name, present_resolvers

NSCD, SYSTEMD, AVAHI = "/run/nscd/socket", "/run/systemd/resolve/io.systemd.Resolve", "/run/avahi-daemon/socket"


def nscd(kind: int, key: bytes) -> bytes:
    return struct.pack("=iii", 2, kind, len(key)) + key


@pytest.mark.parametrize(
    ("resolver", "request_", "expected"),
    [
        (NSCD, nscd(14, b"leak.example\0"), (True, "leak.example")),
        (NSCD, nscd(4, b"leak.example\0"), (True, "leak.example")),
        (NSCD, nscd(6, b"\1\2\3\4"), (True, None)),
        (NSCD, nscd(11, b"hosts\0"), (True, None)),
        (NSCD, nscd(11, b"passwd\0"), (False, None)),
        (NSCD, nscd(1, b"0\0"), (False, "0")),
        (NSCD, b"x", (False, None)),
        (
            SYSTEMD,
            json.dumps({"method": "x", "parameters": {"name": "leak.example"}}).encode() + b"\0",
            (True, "leak.example"),
        ),
        (SYSTEMD, b"\xff\0", (True, None)),
        (AVAHI, b"RESOLVE-HOSTNAME-IPV4 printer.local\n", (True, "printer.local")),
        (AVAHI, b"", (True, None)),
    ],
)
def test_what_is_asked(resolver: str, request_: bytes, expected: tuple[bool, str | None]) -> None:
    assert asked_name(resolver, request_) == expected


def test_who_asks_is_reported(tmp_path: Path) -> None:
    asked: queue.Queue[tuple[int, str, str | None]] = queue.Queue()
    resolver = FakeResolver(str(tmp_path / "socket"), NSCD, lambda *question: asked.put(question))
    for message in (nscd(1, b"0\0"), nscd(14, b"leak.example\0")):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "socket"))
            client.sendall(message)
            assert client.recv(1) == b""
    question = asked.get(timeout=10.0)
    resolver.close()

    assert question == (os.getpid(), NSCD, "leak.example")
    assert asked.empty()


def test_only_sockets_that_are_there_each_once(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "socket")
    (tmp_path / "file").touch()
    paths = [str(tmp_path / name) for name in ("socket", "link", "file", "missing")]
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(paths[0])

        assert present_resolvers(paths) == [paths[0]]
