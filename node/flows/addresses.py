"""Who else is there? Each side asks once, right after the handshake, and answers as often as it is asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from ziggurat.node.address import NetAddress
from ziggurat.node.peer import Router
from ziggurat.node.wire import (
    MAX_ADDRESSES_SENT,
    KaspadMessage,
    RequestAddressesMessage,
    addresses_from_wire,
    addresses_to_wire,
)

__all__ = ["AddressBook", "AddressesReceiver", "AddressesSender", "AdvertisedAddress", "NoAddressBook"]


class AddressBook(Protocol):
    """What the flows need of an address manager."""

    async def sample(self, count: int) -> Sequence[NetAddress]:
        """Some addresses to pass on, at random, at most ``count``."""
        ...

    async def learn(self, addresses: Sequence[NetAddress]) -> None:
        """Addresses that a peer told of; none of them is known to be good."""
        ...


class NoAddressBook:
    """Knows nobody, and forgets what it is told."""

    async def sample(self, count: int) -> Sequence[NetAddress]:
        return ()

    async def learn(self, addresses: Sequence[NetAddress]) -> None:
        pass


class AddressesSender:
    """Answers requests for addresses, with a thousand at most: what kaspad sends."""

    types = ("requestAddresses",)

    def __init__(self, router: Router, book: AddressBook) -> None:
        self._router = router
        self._book = book
        self._route = router.subscribe(*self.types)

    async def run(self) -> None:
        async for request in self._route:
            known = await self._book.sample(MAX_ADDRESSES_SENT)
            reply = addresses_to_wire(list(known)[:MAX_ADDRESSES_SENT])
            await self._router.answer(request, KaspadMessage(addresses=reply))


class AddressesReceiver:
    """Asks once, and takes one answer: 2500 at most, each well-formed, or the peer is rejected.

    A peer that does not answer is left in peace; a second answer closes the connection, as at kaspad.
    """

    types = ("addresses",)

    def __init__(
        self, router: Router, book: AddressBook, on_received: Callable[[tuple[NetAddress, ...]], Awaitable[None]]
    ) -> None:
        self._router = router
        self._book = book
        self._on_received = on_received
        self._route = router.subscribe(*self.types, capacity=1)

    async def run(self) -> None:
        request = KaspadMessage(requestAddresses=RequestAddressesMessage(), request_id=self._route.id)
        await self._router.send(request)
        answer = await self._route.receive()
        self._router.unsubscribe(self._route)
        addresses = addresses_from_wire(answer.addresses)
        await self._book.learn(addresses)
        await self._on_received(addresses)


class AdvertisedAddress:
    """Learns the address at which a peer says, in its Version, that it can be reached."""

    def __init__(self, book: AddressBook, address: NetAddress) -> None:
        self._book = book
        self._address = address

    async def run(self) -> None:
        await self._book.learn([self._address])
