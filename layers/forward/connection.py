"""The record of one forwarded connection."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

import anyio

from ziggurat.services.errors import ConnectError, one_line
from ziggurat.services.ledger import Ledger
from ziggurat.services.uri import Uri

__all__ = ["ForwardCounters", "ForwardedConnection"]


@dataclass(slots=True, eq=False, weakref_slot=True)
class ForwardedConnection:
    """A local client's connection, from the moment it is accepted. It changes until the connection is closed.

    Attributes:
        client: the client's address and port; ``unix`` for one of a unix socket, which has no address.
        target: where it goes; ``None`` until a SOCKS5 client has said it.
        via: the proxies on the way, joined by `` > ``; ``None`` for a direct connection, and while there is none.
        opened: whether the target was reached.
        sent: bytes from the client to the target, in bytes.
        received: bytes from the target to the client, in bytes.
        error: why it failed or how it was cut off, in one line; ``None`` after an orderly end.
        phase: the phase of the dial that failed, if one did; else ``None``.
        elapsed: seconds from the accepted connection to its end; ``None`` while it is open.
        id: eight hex digits: the id of the dial in the log once it was made, or of the connection alone.
        last_active: the time on the event loop's clock at which a byte last passed, in seconds.
    """

    client: str
    target: Uri | None = None
    via: str | None = None
    opened: bool = False
    sent: int = 0
    received: int = 0
    error: str | None = None
    phase: str | None = None
    elapsed: float | None = None
    id: str = field(init=False, default_factory=lambda: secrets.token_hex(4))
    last_active: float = field(init=False, default_factory=anyio.current_time, repr=False)
    _began: float = field(init=False, default_factory=anyio.current_time, repr=False)

    def dialled(self, ledger: Ledger | None) -> None:
        """For the forwarder: take over the way and the id from the ledger of the dial."""
        if ledger is not None:
            self.id = ledger.id
            self.via = ways(ledger)

    def failed(self, error: BaseException) -> None:
        """For the forwarder: take over what went wrong, without what has a place of its own in this record."""
        if isinstance(error, ConnectError):
            self.phase = error.phase
            self.dialled(error.ledger)
            self.error = one_line(f"{error.message}; {error.hint}" if error.hint else error.message)
            if error.via is not None and self.via is None and (self.target is None or error.via != self.target.host):
                self.via = error.via
        else:
            self.error = one_line(f"{type(error).__name__}: {error}".removesuffix(": "))

    def ended(self) -> None:
        """For the forwarder: stop the clock."""
        self.elapsed = anyio.current_time() - self._began

    @property
    def age(self) -> float:
        """Seconds since the connection was accepted, until its end."""
        return anyio.current_time() - self._began if self.elapsed is None else self.elapsed


@dataclass(frozen=True, slots=True)
class ForwardCounters:
    """What a forwarder has done since it was made.

    Attributes:
        accepted: connections of clients.
        opened: those that reached their target.
        failed: those that did not, and those that were cut off later.
        open: connections that have not ended.
        sent: bytes from clients to targets.
        received: bytes from targets to clients.
    """

    accepted: int = 0
    opened: int = 0
    failed: int = 0
    open: int = 0
    sent: int = 0
    received: int = 0


def ways(ledger: Ledger) -> str | None:
    """Return the proxies that a dial went through, in their order; ``None`` for none."""
    passed = dict.fromkeys(entry.via for entry in ledger.phases if entry.name.startswith("proxy.") and entry.via)
    return " > ".join(passed) or None
