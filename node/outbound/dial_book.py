"""What the connection manager needs of an address book. `AddressManager` is one."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Protocol

from ziggurat.node.address import NodeAddress

__all__ = ["DialBook"]


class DialBook(Protocol):
    """The part of an address manager that the manager uses: which addresses to dial, and what became of the dials."""

    def add(self, addresses: Iterable[NodeAddress], /) -> int:
        """Add addresses that a seeder returned; return how many are new."""
        ...

    def mark_success(self, address: NodeAddress, /) -> None:
        """The address was dialled, and a Kaspa peer of our network answered."""
        ...

    def mark_failure(self, address: NodeAddress, /) -> None:
        """The address was dialled in vain, while others could be reached."""
        ...

    def pick_order(self, exclude: Collection[NodeAddress] = (), /) -> list[NodeAddress]:
        """Return the addresses to dial, the best first."""
        ...
