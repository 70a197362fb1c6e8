"""Which address a full part of the book evicts."""

from __future__ import annotations

from collections import OrderedDict

from ziggurat.node.address import NodeAddress
from ziggurat.node.address_manager.weights import MAX_FAILURES

__all__ = ["Ranking"]


class Ranking:
    """The addresses of one network by number of failures, oldest first, so that eviction needs no search: a peer may
    send 2500 addresses at once to a full book.

    The worst address is one with the most failures, and the oldest of those.
    """

    def __init__(self) -> None:
        self._groups = tuple(OrderedDict[NodeAddress, None]() for _ in range(MAX_FAILURES + 1))

    def __len__(self) -> int:
        return sum(map(len, self._groups))

    def add(self, address: NodeAddress, failures: int) -> None:
        """Add an address as the newest with its number of failures, 0 to 3."""
        self._groups[failures][address] = None

    def remove(self, address: NodeAddress, failures: int) -> None:
        """Remove an address, which has been added with that number of failures.

        Raises:
            KeyError: it has not.
        """
        del self._groups[failures][address]

    def pop_worst(self) -> NodeAddress:
        """Remove the worst address and return it.

        Raises:
            ValueError: there is none.
        """
        for group in reversed(self._groups):
            if group:
                return group.popitem(last=False)[0]
        raise ValueError("empty")
