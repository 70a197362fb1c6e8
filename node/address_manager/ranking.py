"""Which address a full book evicts."""

from __future__ import annotations

from collections import OrderedDict
from itertools import count

from ziggurat.node.address import NetAddress
from ziggurat.node.address_manager.weights import MAX_FAILURES

__all__ = ["Ranking"]


class Ranking:
    """Addresses by family and number of failures, oldest first, so that eviction needs no search: a peer may send 2500
    addresses at once to a full book.

    The worst address is one with the most failures, and the oldest of those. But while one family has addresses that
    were reached and the other has none, it is one of the other's. On a host without IPv6, failed dials of IPv6
    addresses do not count against them, so they would stay and slowly crowd out those that can be reached.
    """

    def __init__(self) -> None:
        self._groups = {v: tuple(OrderedDict[NetAddress, int]() for _ in range(MAX_FAILURES + 1)) for v in (4, 6)}
        self._age = count()

    def add(self, address: NetAddress, failures: int) -> None:
        """Add an address as the newest with its number of failures, 0 to 3."""
        self._groups[address.ip.version][failures][address] = next(self._age)

    def remove(self, address: NetAddress, failures: int) -> None:
        """Remove an address, which has been added with that number of failures.

        Raises:
            KeyError: it has not.
        """
        del self._groups[address.ip.version][failures][address]

    def pop_worst(self) -> NetAddress:
        """Remove the worst address and return it.

        Raises:
            ValueError: there is none.
        """
        families = [groups for groups in self._groups.values() if any(groups)]
        unreached = [groups for groups in families if not groups[0]]
        candidates = unreached if len(unreached) == 1 else families
        failures = max(n for groups in candidates for n, group in enumerate(groups) if group)
        oldest = min((groups[failures] for groups in candidates if groups[failures]), key=_age_of_oldest)
        return oldest.popitem(last=False)[0]


def _age_of_oldest(group: OrderedDict[NetAddress, int]) -> int:
    return next(iter(group.values()))
