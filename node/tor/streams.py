"""Which circuit the tunnels through Tor's SOCKS port are on, from Tor's events about streams (control-spec 4.1.2)."""

from __future__ import annotations

from dataclasses import dataclass

from ziggurat.node.tor.controller import StreamChange

__all__ = ["StreamTable"]

ENDED = frozenset({"FAILED", "CLOSED"})


@dataclass(slots=True)
class _Stream:
    source: int
    target: str
    circuit: str | None = None


class StreamTable:
    """The open streams that came in by a SOCKS port, ours among those of other programs.

    A stream is known by the port that its program connected from, which Tor says only when the stream is new, and by
    its target. Credentials are not looked at.
    """

    def __init__(self) -> None:
        self._streams: dict[str, _Stream] = {}
        self._by_source: dict[tuple[int, str], str] = {}
        self._unsure: set[str] = set()  # from before the connection was lost, and not heard of since

    def __len__(self) -> int:
        return len(self._streams)

    def circuit_of(self, source: int, target: str) -> str | None:
        """Return the id of the circuit that a tunnel is on; ``None`` if Tor has told none.

        Args:
            source: the port of our end of the connection to the SOCKS port.
            target: what the tunnel leads to, ``HOST:PORT`` as it was sent to the proxy, without brackets.
        """
        stream = self._by_source.get((source, target.lower()))
        return None if stream is None else self._streams[stream].circuit

    def take(self, change: StreamChange) -> None:
        """Note what became of a stream."""
        self._unsure.discard(change.stream)
        if change.status == "NEW":
            self._remove(change.stream)
            if change.source is not None:
                self._streams[change.stream] = _Stream(change.source, change.target)
                self._by_source[change.source, change.target] = change.stream
        elif change.status in ENDED:
            self._remove(change.stream)
        elif change.stream in self._streams:
            self._streams[change.stream].circuit = change.circuit

    def doubt(self) -> None:
        """Note that events may have been missed; `refresh` follows."""
        self._unsure = set(self._streams)

    def refresh(self, status: str) -> None:
        """Correct what is in doubt by ``GETINFO stream-status``, which tells no source. Later events are right."""
        listed = {words[0]: words[2] for line in status.splitlines() if len(words := line.split()) > 3}
        for stream in self._unsure:
            if stream not in listed:
                self._remove(stream)
            else:
                self._streams[stream].circuit = None if listed[stream] == "0" else listed[stream]
        self._unsure = set()

    def _remove(self, stream: str) -> None:
        old = self._streams.pop(stream, None)
        if old is not None and self._by_source.get((old.source, old.target)) == stream:
            del self._by_source[old.source, old.target]
