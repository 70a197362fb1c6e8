"""Tor's circuits, as ``GETINFO circuit-status`` lists them (control-spec 4.1.1). They are read, never changed."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Circuit", "Relay", "parse_circuits"]

_RELAY = re.compile(r"\$([0-9A-F]{40})(?:[=~]([A-Za-z0-9]{1,19}))?", re.ASCII)

_ID = re.compile(r"[A-Za-z0-9]{1,16}", re.ASCII)

SHORT = 8
"""Hex digits of a fingerprint that are shown of a relay without a nickname."""


@dataclass(frozen=True, slots=True)
class Relay:
    """A relay of a circuit.

    Attributes:
        fingerprint: 40 hex digits.
        nickname: the name that its operator chose, which others may use as well; ``None`` if Tor gives none.
    """

    fingerprint: str
    nickname: str | None = None

    def __str__(self) -> str:
        """Return its nickname, else the beginning of its fingerprint."""
        return f"${self.fingerprint[:SHORT]}" if self.nickname is None else self.nickname


@dataclass(frozen=True, slots=True)
class Circuit:
    """A circuit.

    Attributes:
        id: Tor's number of it. It means nothing outside of this run of Tor.
        path: its relays, the guard first. Of a circuit to an onion service the last one is where both sides meet: the
            relays on the service's side are not known here.
    """

    id: str
    path: tuple[Relay, ...]


def parse_circuits(status: str) -> dict[str, Circuit]:
    """Return the circuits by id. A line that cannot be read is left out, and so are the credentials in each."""
    circuits: dict[str, Circuit] = {}
    for line in status.splitlines():
        words = line.split()
        if words and _ID.fullmatch(words[0]):
            path = words[2].split(",") if len(words) > 2 and words[2].startswith("$") else []
            relays = [Relay(match[1], match[2]) for match in map(_RELAY.fullmatch, path) if match]
            circuits[words[0]] = Circuit(words[0], tuple(relays))
    return circuits
