"""What the node asks of a connection to Tor's control port, whatever library speaks the protocol (control-spec)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from ziggurat.node.tor.fields import parse_fields

__all__ = [
    "Bootstrap",
    "Circuits",
    "Controller",
    "DescriptorUpload",
    "StreamChange",
    "TorError",
    "TorEvent",
    "TorRefused",
]


class TorError(OSError):
    """Tor's control port was not reached, refused us or the command, or was lost. The message is one line."""


class TorRefused(TorError):
    """Tor answered that it does not do what it was asked to. The connection is still good."""


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """How far Tor's start is.

    Attributes:
        progress: 0 to 100; at 100 Tor can be used.
        tag: the step in a word; only ``starting`` and ``done`` are guaranteed.
        summary: the step, for people.
        warning: what hinders it; ``None`` while nothing does.
    """

    progress: int
    tag: str
    summary: str
    warning: str | None = None

    @classmethod
    def parse(cls, text: str) -> Bootstrap:
        """Parse the value of ``GETINFO status/bootstrap-phase``. What is missing stays empty.

        Raises:
            TorError: it has no progress.
        """
        found = parse_fields(text)
        progress = found.get("PROGRESS", "")
        if not (progress.isascii() and progress.isdigit()):
            raise TorError(f"Tor tells no progress of its start: {text[:100]!r}")
        return cls(int(progress), found.get("TAG", ""), found.get("SUMMARY", ""), found.get("WARNING"))

    @property
    def done(self) -> bool:
        """Whether Tor can be used."""
        return self.progress >= 100


@dataclass(frozen=True, slots=True)
class Circuits:
    """Whether Tor still believes that it can build circuits.

    Attributes:
        reason: why not, in a word; ``None`` if it does.
    """

    reason: str | None


@dataclass(frozen=True, slots=True)
class DescriptorUpload:
    """One step in the upload of a descriptor of an onion service to a directory.

    Attributes:
        action: ``UPLOAD`` when it begins, ``UPLOADED`` or ``FAILED`` when it is answered.
        service: the service's name without ``.onion``.
        directory: the directory.
        descriptor: which of the service's descriptors; Tor says it only when an upload begins.
        reason: why it failed, in a word, if Tor says so.
    """

    action: str
    service: str
    directory: str
    descriptor: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class StreamChange:
    """What became of a stream: a connection through Tor, of ours or of another program.

    Attributes:
        stream: Tor's number of it.
        status: ``NEW``, ``SENTCONNECT``, ``SUCCEEDED``, ``DETACHED``, ``CLOSED``, and others.
        circuit: the number of its circuit; ``None`` while it has none.
        target: what it leads to, ``host:port`` in lower case; an IPv6 address has no brackets.
        source: the port that its program connected from, which Tor says only of a new one; ``None`` otherwise, and on
            a unix socket.
    """

    stream: str
    status: str
    circuit: str | None
    target: str
    source: int | None = None


TorEvent: TypeAlias = Bootstrap | Circuits | DescriptorUpload | StreamChange


class Controller(Protocol):
    """An authenticated control connection.

    Every method raises `TorRefused` if Tor refuses, and else `TorError` if the connection is lost. It also is once Tor
    has not answered in time: a late answer would pass for that to the next question.
    """

    @property
    def version(self) -> str:
        """Tor's version."""
        ...

    async def watch(self, take: Callable[[TorEvent], object], /) -> None:
        """From now on, call ``take`` with each event. It must not raise. An event that cannot be read is left out."""
        ...

    async def info(self, key: str, /) -> str:
        """Return the value of a key of ``GETINFO``, which may have many lines."""
        ...

    async def setting(self, name: str, /) -> list[str]:
        """Return the values of one of Tor's settings (``GETCONF``), flags included; none where it is not set."""
        ...

    async def check_alive(self) -> None:
        """Ask Tor whether it is there. A busy one may take a minute."""
        ...

    async def add_onion(self, key: str, port: int, target: str, /) -> str:
        """Publish an onion service, which lives as long as this connection, and return its name without ``.onion``.

        Args:
            key: the private key, as `make_onion_key` returns it.
            port: the virtual port.
            target: where Tor connects to, ``IP:PORT`` or ``unix:PATH``.
        """
        ...

    async def wait_closed(self) -> None:
        """Wait until the connection is lost. Raises nothing."""
        ...
