"""A server's PINGs, by the rules of grpclib's ``Configuration``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grpclib.config import Configuration

    from ziggurat.services.channel.server_protocol import ServerProtocol

__all__ = ["PingRules", "ServerPings"]

PING = b"ziggurat"

SETTINGS = {
    "interval": "_keepalive_time",
    "timeout": "_keepalive_timeout",
    "while_idle": "_keepalive_permit_without_calls",
    "most_in_a_row": "_http2_max_pings_without_data",
    "least_apart": "_http2_min_sent_ping_interval_without_data",
}
"""grpclib's names for what is in `PingRules`: its users set them, and it calls them private."""


@dataclass(frozen=True, slots=True)
class PingRules:
    """When a server sends PINGs. The defaults are grpclib's.

    Attributes:
        interval: seconds between two looks at a connection; ``None`` sends no PINGs.
        timeout: PING ack timeout, in seconds.
        while_idle: whether to send PINGs while no call is running.
        most_in_a_row: PINGs with no headers or data sent in between; 0 for any number.
        least_apart: seconds between two of them.
    """

    interval: float | None = 7200.0
    timeout: float = 20.0
    while_idle: bool = False
    most_in_a_row: int = 2
    least_apart: float = 300.0

    @classmethod
    def of(cls, config: Configuration) -> PingRules:
        """Return the rules in grpclib's settings for a server."""
        return cls(**{ours: getattr(config, theirs) for ours, theirs in SETTINGS.items()})


class ServerPings:
    """Sends the PINGs of one connection.

    Args:
        rules: when.
        protocol: the connection.
        on_dead: called once, when a PING was not answered in time.
    """

    def __init__(self, rules: PingRules, protocol: ServerProtocol, on_dead: Callable[[], None]) -> None:
        assert rules.interval is not None
        self._rules = rules
        self._protocol = protocol
        self._on_dead = on_dead
        self._loop = asyncio.get_running_loop()
        self._last: float | None = None
        self._timer = self._loop.call_later(rules.interval, self._look)
        self._late: asyncio.TimerHandle | None = None

    def answered(self) -> None:
        """An ack has come."""
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def stop(self) -> None:
        """Send no more."""
        self._timer.cancel()
        self.answered()

    def _look(self) -> None:
        rules, protocol, now = self._rules, self._protocol, self._loop.time()
        assert rules.interval is not None
        if self._due(now):
            self._last = now
            protocol.pings_in_a_row += 1
            protocol.core.ping(PING)
            protocol.flush()
            if self._late is None:
                self._late = self._loop.call_later(rules.timeout, self._on_dead)
        self._timer = self._loop.call_later(rules.interval, self._look)

    def _due(self, now: float) -> bool:
        rules, protocol = self._rules, self._protocol
        if protocol.closing or not (protocol.core.streams or rules.while_idle):
            return False
        if rules.most_in_a_row and protocol.pings_in_a_row >= rules.most_in_a_row:
            return False
        return self._last is None or now - self._last >= rules.least_apart
