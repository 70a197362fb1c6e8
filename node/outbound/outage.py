"""What all dials of a kind depend on, and how to behave while it is away: the proxy, or a network of this machine."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import anyio

from ziggurat.layers.events import write_event
from ziggurat.node.address import NetAddress, PeerAddress
from ziggurat.services import ConnectError

__all__ = ["Outage", "Outages"]

FIRST_RETRY = 5.0
"""Seconds until one dial tries again whether an outage is over; doubled with each such dial that fails."""

LAST_RETRY = 30.0
"""Seconds that the interval does not grow beyond."""


class Outage:
    """One proxy or network. An outage is one event when it begins and one when it ends.

    While it lasts, `permits` lets one dial through per interval, to see whether it is over.

    Args:
        began: called when it begins, with what failed, in one line, and the seconds that the dial took (``None`` if it
            is not known).
        ended: called when it ends, with the seconds that it lasted.

    Attributes:
        active: whether it lasts.
    """

    def __init__(self, began: Callable[[str, float | None], object], ended: Callable[[float], object]) -> None:
        self.active = False
        self._began = began
        self._ended = ended
        self._since = 0.0
        self._retry_at = 0.0
        self._interval = FIRST_RETRY
        self._over = anyio.Event()

    def permits(self) -> bool:
        """Whether to dial now. During an outage the answer is yes once per interval."""
        if not self.active:
            return True
        now = anyio.current_time()
        if now < self._retry_at:
            return False
        self._retry_at = now + self._interval
        return True

    @property
    def until_retry(self) -> float:
        """Seconds until a dial is due that tries whether it is over; 0 when none is active."""
        return max(0.0, self._retry_at - anyio.current_time()) if self.active else 0.0

    async def wait(self) -> None:
        """Wait until the outage is over, or the next dial is due."""
        if self.active:
            with anyio.move_on_after(self.until_retry):
                await self._over.wait()

    def report_failure(self, error: ConnectError) -> None:
        """Note that a dial failed for this reason."""
        now = anyio.current_time()
        if self.active:
            self._interval = min(LAST_RETRY, self._interval * 2)
            return
        self.active, self._since, self._interval = True, now, FIRST_RETRY
        self._retry_at = now + FIRST_RETRY
        self._over = anyio.Event()
        text = f"{type(error).__name__}: {error.message}{f'; {error.hint}' if error.hint else ''}"
        elapsed = None if error.elapsed is None else round(error.elapsed, 3)
        self._began(text, elapsed)

    def report_success(self) -> bool:
        """Note that a dial got through; return whether that ended an outage."""
        if not self.active:
            return False
        self.active = False
        self._over.set()
        self._ended(round(anyio.current_time() - self._since, 3))
        return True


class Outages:
    """The outages of a node: of each proxy, and of each network (ipv4, ipv6) that it dials directly.

    Args:
        via: returns the proxy of an address; ``None`` for a direct dial.
    """

    def __init__(self, via: Callable[[PeerAddress], str | None]) -> None:
        self._via = via
        self._known: dict[tuple[str | None, str], Outage] = {}  # by proxy, or by network where there is none

    def of(self, address: PeerAddress) -> Outage:
        """Return what a dial to ``address`` depends on. A name counts as ipv4."""
        via = self._via(address)
        network = "ipv6" if isinstance(address, NetAddress) and address.ip.version == 6 else "ipv4"
        key = (via, "") if via is not None else (None, network)
        if key not in self._known:
            self._known[key] = (
                Outage(partial(_unreachable, network), partial(_reachable, network))
                if via is None
                else Outage(partial(_proxy_down, via), partial(_proxy_up, via))
            )
        return self._known[key]

    def end_of_proxies(self) -> None:
        """End those of all proxies: something that knows says that they work."""
        for (via, _), outage in self._known.items():
            if via is not None:
                outage.report_success()

    @property
    def are_total(self) -> bool:
        """Whether nothing can be reached: every proxy and every network that was tried is away."""
        return bool(self._known) and all(outage.active for outage in self._known.values())

    @property
    def until_retry(self) -> float:
        """Seconds until a dial may try whether an outage is over; infinite when there is none."""
        left = [each.until_retry for each in self._known.values() if each.active and each.until_retry > 0]
        return min(left, default=math.inf)


def _proxy_down(via: str, error: str, elapsed: float | None) -> None:
    write_event(None, "warning", "proxy.down", via=via, error=error, elapsed=elapsed)


def _proxy_up(via: str, elapsed: float) -> None:
    write_event(None, "info", "proxy.up", via=via, elapsed=elapsed)


def _unreachable(network: str, error: str, elapsed: float | None) -> None:
    write_event(None, "warning", "network.unreachable", network=network, error=error, elapsed=elapsed)


def _reachable(network: str, elapsed: float) -> None:
    write_event(None, "info", "network.reachable", network=network, elapsed=elapsed)
