"""The endpoints of a balance, the choice of one, and the wait for one.

The choice is that of two drawn at random, which spreads dials almost as well as a look at all of them, and does not
send every program's next dial to the one endpoint that looks best (Mitzenmacher, "The power of two choices in
randomized load balancing"). A chosen endpoint is an object, never a position in a list that may have changed since.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Hashable

import anyio
from anyio.lowlevel import current_token

from ziggurat.layers.balance.load import Load
from ziggurat.layers.balance.member import Member
from ziggurat.services.clock import running_clock
from ziggurat.services.service import Connector

__all__ = ["Members"]


class Members:
    """The endpoints by key, in the order in which they came."""

    __slots__ = ("_by_key", "_changed", "_load", "_rng", "_token", "clock", "waiting")

    clock: Callable[[], float]
    """The event loop's clock; after `on_this_loop`."""

    def __init__(self, load: Load, rng: Callable[[], float]) -> None:
        self._by_key: dict[Hashable, Member] = {}
        self._load = load
        self._rng = rng
        self._token: object = None
        self._changed: anyio.Event | None = None
        self.waiting = 0

    def on_this_loop(self) -> None:
        """Use the running event loop. On another one than before, what was learnt is forgotten.

        Raises:
            RuntimeError: dials are under way on another event loop.
        """
        token = current_token()
        if self._token == token:
            return
        if self.waiting or any(member.dialling for member in self._by_key.values()):
            raise RuntimeError("the balance is in use on another event loop")
        self._token, self.clock = token, running_clock()
        for member in self._by_key.values():
            member.forget(self._load.meter())

    def insert(self, key: Hashable, connector: Connector) -> None:
        """Add an endpoint, or replace that of the same key unless it is the same."""
        known = self._by_key.get(key)
        if known is None or known.connector != connector:
            self._by_key[key] = Member(key, connector, self._load.meter())
            self.change()

    def remove(self, key: Hashable) -> None:
        """Remove an endpoint, if it is there."""
        if self._by_key.pop(key, None) is not None:
            self.change()

    def all(self) -> list[Member]:
        """Return the endpoints."""
        return list(self._by_key.values())

    def choose(self, now: float, tried: Collection[Member] = ()) -> Member | None:
        """Return the endpoint to dial; ``None`` if there is none now that was not tried."""
        usable = [member for member in self._by_key.values() if member not in tried and member.usable(now)]
        # An endpoint that warms up is spared as long as there are others.
        candidates = [member for member in usable if member.roomy] or usable
        count = len(candidates)
        if count < 2:
            return candidates[0] if candidates else None
        first = min(int(self._rng() * count), count - 1)
        second = min(int(self._rng() * (count - 1)), count - 2)
        one, other = candidates[first], candidates[second + (second >= first)]
        return other if other.cost(now) < one.cost(now) else one

    @property
    def probing(self) -> bool:
        """Whether an endpoint that has failed is being dialled again."""
        return any(member.failures and member.dialling for member in self._by_key.values())

    def back_at(self) -> float | None:
        """Return when the next endpoint that is not being dialled has backed off long enough; ``None`` without one."""
        return min((m.until for m in self._by_key.values() if not (m.failures and m.dialling)), default=None)

    def change(self) -> None:
        """Wake those that wait for an endpoint."""
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    async def changed(self, until: float | None) -> None:
        """Wait for a change, or until the clock shows ``until``; ``None`` for no limit."""
        if self._changed is None:
            self._changed = anyio.Event()
        event = self._changed
        self.waiting += 1
        try:
            # A deadline, not a duration: the sum of now and the difference may miss it by the last bit.
            with anyio.CancelScope(deadline=math.inf if until is None else until):
                await event.wait()
        finally:
            self.waiting -= 1
