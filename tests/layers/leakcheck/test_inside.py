from __future__ import annotations

import ctypes
import os
import socket
import struct

import pytest

from tests.layers.leakcheck.namespaces import need_namespaces
from tests.layers.leakcheck.test_packets import ipv4, ipv6, tcp, udp
from ziggurat.layers.leakcheck.inside import FILTER
from ziggurat.layers.leakcheck.outside import Inside

KEPT = {
    "syn": ipv4(6, tcp(0x02)),
    "rst": ipv4(6, tcp(0x14)),
    "syn, IPv6": ipv6(6, tcp(0x02)),
    "udp": ipv4(17, udp(b"x")),
    "udp, IPv6": ipv6(17, udp(b"x")),
    "icmp": ipv4(1, bytes(8)),
}
DROPPED = {"data": ipv4(6, tcp(0x18)), "data, IPv6": ipv6(6, tcp(0x18)), "fin": ipv4(6, tcp(0x11)), "no IP": bytes(60)}


@pytest.mark.skipif(not hasattr(socket, "AF_PACKET"), reason="the filter is Linux's")
@pytest.mark.parametrize(("data", "kept"), [(v, True) for v in KEPT.values()] + [(v, False) for v in DROPPED.values()])
def test_the_filter_keeps_beginnings_and_refusals(data: bytes, kept: bool) -> None:
    """The kernel runs it, on the datagrams of a socket pair."""
    code = b"".join(struct.pack("=HBBI", *line) for line in FILTER)
    memory = ctypes.create_string_buffer(code)
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, other:
        other.setsockopt(socket.SOL_SOCKET, 26, struct.pack("@HP", len(FILTER), ctypes.addressof(memory)))
        other.setblocking(False)
        try:
            one.send(data)
            received = other.recv(4096)
        except (BlockingIOError, PermissionError):
            received = b""

    assert received == (data if kept else b"")


def test_the_checker_hangs_up_at_once() -> None:
    """A fresh interpreter, since `main` moves its process to another namespace."""
    need_namespaces()
    with Inside() as inside:
        pid = inside.pid

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_command_has_our_stderr_as_stdout_and_its_own_session(capfd: pytest.CaptureFixture[str]) -> None:
    need_namespaces()
    with Inside() as inside:
        for each in inside.prepare([], [], [])[:2]:
            each.close()
        pid = inside.run(["sh", "-c", "echo said; test $(ps -o sid= -p $$ 2>/dev/null || echo $$) = $$"])
        assert inside.wait(30.0) == 0
    printed = capfd.readouterr()

    assert (printed.out, printed.err) == ("", "said\n")
    assert pid > 0
