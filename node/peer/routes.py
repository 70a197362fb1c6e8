"""The routes of one connection: which flow gets a message, and what waits in all of them."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator

from ziggurat.node.peer.route import Route, WhenFull
from ziggurat.node.peer.turns import Turns
from ziggurat.node.wire import KaspadMessage
from ziggurat.services.signal import Signal

__all__ = ["Routes"]

_ids = itertools.count(1)


class Routes:
    """A table of routes.

    Args:
        turns: the turns in which flows receive their messages.

    Attributes:
        messages: the number of messages that wait in all routes.
        cost: what they take in memory, in bytes, at most.
    """

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self.messages = self.cost = 0
        self._by_type: dict[str, Route] = {}
        self._by_id: dict[int, Route] = {}
        self._empty = Signal()

    def add(self, types: Collection[str], answers: Collection[str] | None, capacity: int, when_full: WhenFull) -> Route:
        """Add a route; see `Router.subscribe`.

        Raises:
            ValueError: a type is unknown, or another flow has subscribed to it.
        """
        for name in types:
            if name not in KaspadMessage.DESCRIPTOR.fields_by_name or name.endswith("_id"):
                raise ValueError(f"unknown message type {name!r}")
            if name in self:
                raise ValueError(f"another flow has subscribed to the message type {name!r}")
        named = frozenset(types)
        expected = (named or None) if answers is None else frozenset(answers)
        route = Route(next(_ids) & 0xFFFFFFFF, named, capacity, when_full, self._count, self._turns, expected)
        self._by_id[route.id] = route
        self._by_type.update(dict.fromkeys(types, route))
        return route

    def remove(self, route: Route) -> None:
        """Remove a route. Other flows can subscribe to its types again."""
        self._by_id.pop(route.id, None)
        for name in route.types:
            if self._by_type.get(name) is route:
                del self._by_type[name]

    def find(self, name: str, response_id: int) -> Route | None:
        """Return the route that gets a message, by the id of the response or else by its type."""
        return self._by_id.get(response_id) if response_id else self._by_type.get(name)

    def wants(self, name: str, response_id: int) -> bool:
        """Return whether a flow reads the content of a message."""
        route = self.find(name, response_id)
        return route is not None and (not response_id or route.answers is None or name in route.answers)

    async def wait_empty(self) -> None:
        """Wait until no message waits in any route."""
        while self.messages:
            self._empty.clear()
            await self._empty.wait()

    def __contains__(self, name: object) -> bool:
        return name in self._by_type

    def __iter__(self) -> Iterator[Route]:
        return iter(self._by_id.values())

    def _count(self, messages: int, cost: int) -> None:
        self.messages += messages
        self.cost += cost
        if not self.messages:
            self._empty.set()
