from __future__ import annotations

import ipaddress
import os
import socket
import sys
from dataclasses import replace

import pytest

from ziggurat.layers.leakcheck.packets import Packet
from ziggurat.layers.leakcheck.processes import UNKNOWN, Processes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")

PACKET = Packet("tcp", ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("127.0.0.1"))


def test_the_process_that_has_the_socket_is_named() -> None:
    processes = Processes(os.getppid())  # of the same namespace as this one
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = processes.of(replace(PACKET, source_port=server.getsockname()[1]))

    assert found.endswith(f" ({os.getpid()})")
    assert not found.startswith("probably")


def test_the_one_that_made_the_namespace_is_left_out() -> None:
    assert os.getpid() not in Processes(os.getpid()).pids()
    assert os.getpid() in Processes(os.getppid()).pids()


def test_a_process_that_has_ended() -> None:
    processes = Processes(os.getppid())
    child = os.posix_spawn("/bin/sh", ["sh", "-c", "read line"], os.environ, file_actions=[_input()])
    living = processes.name(child)
    _end(child)

    assert living.endswith(f" ({child})")
    assert processes.name(child) == living, "its name is remembered"
    assert processes.name(2**22 + 1) == f"{UNKNOWN} ({2**22 + 1})"


def test_a_socket_that_nobody_has_could_be_of_any_of_several() -> None:
    child = os.posix_spawn("/bin/sh", ["sh", "-c", "read line"], os.environ, file_actions=[_input()])
    try:
        assert Processes(os.getppid()).of(PACKET) == UNKNOWN
    finally:
        _end(child)


_ends: list[int] = []


def _input() -> tuple[int, int, int]:
    reader, writer = os.pipe()
    _ends.extend((reader, writer))
    os.set_inheritable(reader, True)
    return os.POSIX_SPAWN_DUP2, reader, 0


def _end(child: int) -> None:
    while _ends:
        os.close(_ends.pop())
    os.waitpid(child, 0)
