"""Which processes are in a network namespace, and which of them has a socket, from ``/proc``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ziggurat.layers.leakcheck.packets import Packet

__all__ = ["Processes"]

UNKNOWN = "unknown"

PROC = Path("/proc")


class Processes:
    """The processes of a namespace.

    Args:
        inside: the process that made the namespace; it is not one of them.
    """

    def __init__(self, inside: int) -> None:
        self._inside = inside
        self._namespace = (PROC / str(inside) / "ns/net").stat().st_ino
        self._names: dict[int, str] = {}

    def pids(self) -> list[int]:
        """Return the processes that run in the namespace now."""
        found: list[int] = []
        for entry in os.listdir(PROC):
            if not entry.isdigit() or int(entry) == self._inside:
                continue
            try:
                if (PROC / entry / "ns/net").stat().st_ino == self._namespace:
                    found.append(int(entry))
            except OSError:  # it has ended, or is another user's
                continue
        for pid in found:
            self.name(pid)  # while it lives
        return found

    def name(self, pid: int) -> str:
        """Return a process as ``name (pid)``. Its arguments, which may be secrets, are left out."""
        try:
            self._names[pid] = (PROC / str(pid) / "comm").read_text(errors="replace").rstrip("\n")
        except OSError:  # it has ended
            pass
        return f"{self._names.get(pid, UNKNOWN)} ({pid})"

    def of(self, packet: Packet) -> str:
        """Return whose a packet is.

        If its socket is gone already, it is *probably* the only process that runs, or the only one that ever ran.
        """
        pids = self.pids()
        wanted = {f"socket:[{inode}]" for inode in self._inodes(packet)}
        for pid in pids:
            if wanted & set(self._files(pid)):
                return self.name(pid)
        candidates = pids or list(self._names)
        return f"probably {self.name(candidates[0])}" if len(candidates) == 1 else UNKNOWN

    def _inodes(self, packet: Packet) -> Iterator[str]:
        """Yield the sockets with the packet's local port. A port of the namespace is one program's, mostly."""
        if not packet.source_port:
            return
        for table in (packet.protocol, f"{packet.protocol}6"):
            try:
                lines = (PROC / str(self._inside) / "net" / table).read_text().splitlines()[1:]
            except OSError:
                continue
            for line in lines:
                fields = line.split()  # proc_pid_net(5): the second is the local address, the tenth the inode
                if int(fields[1].rpartition(":")[2], 16) == packet.source_port:
                    yield fields[9]

    def _files(self, pid: int) -> Iterator[str]:
        folder = PROC / str(pid) / "fd"
        try:
            numbers = os.listdir(folder)
        except OSError:
            return
        for number in numbers:
            try:
                yield os.readlink(folder / number)
            except OSError:
                continue
