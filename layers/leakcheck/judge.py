"""Which packets are leaks. Sans-IO: it gets what was recorded, and asks for the process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from ziggurat.layers.leakcheck.packets import Packet

__all__ = ["Finding", "Judge"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that went, or was to go, to elsewhere than the proxy.

    Attributes:
        at: when, in seconds since the program started.
        process: which, as ``name (pid)``; ``probably name (pid)`` or ``unknown`` if its socket was gone too soon.
        kind: ``tcp``, ``udp``, ``icmp``, another protocol by its number, or ``look-up``.
        where: the address, as ``host:port``; of a look-up the resolver that was asked.
        name: the name that was looked up; ``None`` if none was, or it could not be read.
        count: how often, the first time included.
    """

    at: float
    process: str
    kind: str
    where: str
    name: str | None = None
    count: int = 1


class Judge:
    """Collects the findings of a run.

    Attributes:
        tried: how often each proxy was tried, by its address.
    """

    def __init__(
        self,
        proxies: Collection[str],
        exposed: Collection[int],
        clock: Callable[[], float],
        process_of: Callable[[Packet], str],
    ) -> None:
        self.tried = dict.fromkeys(proxies, 0)
        self._exposed = exposed
        self._clock = clock
        self._process_of = process_of
        self._findings: dict[tuple[str, ...], Finding] = {}
        self._pending: dict[tuple[str, str], str] = {}
        self._lock = threading.Lock()

    def findings(self) -> tuple[Finding, ...]:
        """Return what was found so far, by time."""
        with self._lock:
            return tuple(sorted(self._findings.values(), key=lambda finding: finding.at))

    def from_sink(self, packet: Packet) -> None:
        """Judge a packet that was on its way to another machine: each is a leak."""
        if not packet.by_kernel:
            self._found_packet(packet, self._process_of(packet))

    def on_loopback(self, packet: Packet) -> None:
        """Judge a packet of loopback.

        What is refused there was to go to another program of this machine. What is answered stays within the program.
        """
        there, back = (_end(packet, source=True), _end(packet)), (_end(packet), _end(packet, source=True))
        if packet.step == "syn":
            if there[1] in self.tried:
                self.tried[there[1]] += 1
            elif not (packet.port in self._exposed and packet.destination.is_loopback):
                self._pending[there] = self._process_of(packet)
        elif packet.step == "syn-ack":
            self._pending.pop(back, None)
        elif packet.step == "rst" and back in self._pending:
            process = self._pending.pop(back)
            refused = replace(
                packet,
                source=packet.destination,
                destination=packet.source,
                source_port=packet.port,
                port=packet.source_port,
            )
            self._found_packet(refused, process)
        elif packet.step == "unreachable" and packet.inner is not None and packet.inner.protocol != "icmp":
            self._found_packet(packet.inner, self._process_of(packet.inner))

    def look_up(self, process: str, resolver: str, name: str | None) -> None:
        """Add a question to a resolver of this machine."""
        self._add(Finding(self._clock(), process, "look-up", resolver, name))

    def _found_packet(self, packet: Packet, process: str) -> None:
        kind = packet.protocol if packet.question is None else "look-up"
        self._add(Finding(self._clock(), process, kind, _end(packet), packet.question))

    def _add(self, finding: Finding) -> None:
        key = (finding.process, finding.kind, finding.where, finding.name or "")
        with self._lock:
            known = self._findings.get(key)
            self._findings[key] = finding if known is None else replace(known, count=known.count + 1)


def _end(packet: Packet, *, source: bool = False) -> str:
    host, port = (packet.source, packet.source_port) if source else (packet.destination, packet.port)
    if packet.protocol not in ("tcp", "udp"):
        return str(host)
    return f"[{host}]:{port}" if host.version == 6 else f"{host}:{port}"
