"""A real kaspad: found or the test is skipped, started on an address of its own, killed and started again.

It comes from crates.io: ``cargo install --locked kaspad``. ``ZIGGURAT_KASPAD`` names one that is not on the path.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest

from tests.interop.programs import answers, loopback_address, running
from ziggurat.node.net_address import NetAddress

__all__ = ["PORT", "Program", "kaspad_program", "routable_address", "starting"]

PORT = 16611
QUIET = "--outpeers=0 --nodnsseed --disable-upnp --nogrpc --nologfiles --yes --ram-scale=0.3 --loglevel=debug"
START = 60.0
"""Seconds: its database is made first."""

UNREACHABLE = "192.0.2.1"
"""RFC 5737: nobody is there, and nothing is sent to find out which of our addresses would be used."""


def kaspad_program() -> str:
    """The path of kaspad; where there is none the test is skipped."""
    found = os.environ.get("ZIGGURAT_KASPAD") or shutil.which("kaspad")
    if found is None:
        pytest.skip("kaspad is not installed (name it in ZIGGURAT_KASPAD)")
    return found


def routable_address() -> NetAddress:
    """An address of this machine that is not loopback, which no address book takes, and a port that is free there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((UNREACHABLE, 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        ip = str(probe.getsockname()[0])
    with socket.socket() as probe:
        probe.bind((ip, 0))
        return NetAddress(ip_address(ip), int(probe.getsockname()[1]))


class Program:
    """One kaspad.

    Args:
        folder: for its data and its log.
        flags: more of them.
        address: where it listens; ``None`` takes a loopback address that nobody else has.

    Attributes:
        address: as above.
        process: the last one that was started.
    """

    def __init__(self, folder: Path, *flags: str, address: NetAddress | None = None) -> None:
        self.address = address or NetAddress(ip_address(loopback_address()), PORT)
        self.process: subprocess.Popen[bytes]
        self.logs: list[Path] = []
        self._folder = folder
        self._argv = [
            *(kaspad_program(), "--devnet", "-b", str(folder), f"--listen={self.address}"),
            *(*QUIET.split(), *flags),
        ]
        self._running: AbstractContextManager[subprocess.Popen[bytes]] | None = None

    def start(self) -> None:
        """Start it, and wait until it listens."""
        log = self._folder / f"log{len(self.logs)}"
        self.logs.append(log)
        host, port = str(self.address.ip), self.address.port
        self._running = running(self._argv, log, lambda: answers(host, port), stop=signal.SIGINT, limit=START)
        self.process = self._running.__enter__()

    def stop(self) -> None:
        """Stop it, if it runs."""
        if self._running is not None:
            self._running.__exit__(None, None, None)
            self._running = None

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.stop()

    def log(self) -> str:
        """What it has written since it was first started."""
        return "".join(log.read_text(errors="replace") for log in self.logs)

    def said(self, text: str) -> bool:
        return text in self.log()

    def warnings(self) -> list[str]:
        """Its warnings and errors."""
        return [line for line in self.log().splitlines() if "[WARN" in line or "[ERROR" in line]


@contextmanager
def starting(new_folder: Callable[[str], Path], *flags: str) -> Iterator[Program]:
    """Run a kaspad of its own for the length of a block."""
    kaspad = Program(new_folder("kaspad"), *flags)
    kaspad.start()
    try:
        yield kaspad
    finally:
        kaspad.stop()
