"""The address book as the node's parts see it: only addresses that may be used, which change while the node runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TypeAlias

from ziggurat.node.address import AddressNetwork, NodeAddress
from ziggurat.node.address_manager.manager import AddressManager

__all__ = ["DialAddressBook", "FlowAddressBook", "Usable"]

Usable: TypeAlias = Callable[[Iterable[NodeAddress]], list[NodeAddress]]
"""Returns those of some addresses, in their order, that may be used: neither banned nor our own."""


class FlowAddressBook:
    """The address book for the flows of one network's peers: they are told what peers of that network told.

    Args:
        book: the whole book.
        network: the network of the peers.
        usable: which addresses are stored and passed on. Peers gossip our own back to us.
        on_new: called when a peer has told new ones.
    """

    def __init__(
        self,
        book: AddressManager,
        network: AddressNetwork,
        usable: Usable,
        on_new: Callable[[], object] | None = None,
    ) -> None:
        self._book = book
        self._network = network
        self._usable = usable
        self._on_new = on_new

    async def sample(self, count: int) -> Sequence[NodeAddress]:
        """Return some addresses to send to a peer."""
        return self._usable(self._book.sample(count, self._network))

    async def learn(self, addresses: Sequence[NodeAddress]) -> None:
        """Add addresses that a peer sent."""
        if self._book.add(self._usable(addresses), self._network) and self._on_new is not None:
            self._on_new()


class DialAddressBook:
    """The address book for the connection manager.

    Args:
        book: the whole book.
        usable: which addresses are stored and dialled.
    """

    def __init__(self, book: AddressManager, usable: Usable) -> None:
        self._book = book
        self._usable = usable
        self.mark_success = book.mark_success
        self.mark_failure = book.mark_failure

    def add(self, addresses: Iterable[NodeAddress], /) -> int:
        """Add addresses that a seeder returned: names are of ipv4, and so are the peers that are told of them."""
        return self._book.add(self._usable(addresses), AddressNetwork.IPV4)

    def pick_order(self, exclude: Collection[NodeAddress] = (), /) -> list[NodeAddress]:
        """Return the addresses to dial, in order."""
        return self._usable(self._book.pick_order(exclude))
