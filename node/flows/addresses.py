"""Exchange of node addresses: each side asks once, right after the handshake, and answers every request."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from ziggurat.node.address import NetAddress, NodeAddress
from ziggurat.node.flows.address_answers import AddressAnswers
from ziggurat.node.flows.onions import OnionGossip
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
    """The part of an address manager that the flows use."""

    async def sample(self, count: int) -> Sequence[NodeAddress]:
        """Return at most ``count`` random addresses to pass on. The answers of a day are made of few of its results."""
        ...

    async def learn(self, addresses: Sequence[NodeAddress]) -> None:
        """Store addresses that a peer sent. None has been tried yet."""
        ...


class NoAddressBook:
    """An address book that is always empty."""

    async def sample(self, count: int) -> Sequence[NodeAddress]:
        return ()

    async def learn(self, addresses: Sequence[NodeAddress]) -> None:
        pass


class AddressesSender:
    """Answers each request for addresses with at most 1000, as kaspad does, but with the same for about a day.

    Onion services are told only where both sides can dial them: kaspad takes one for an IP address of no bytes, and
    drops the connection. Our own is told as `OnionGossip` says, from the moment when it can be found.
    """

    types = ("requestAddresses",)

    def __init__(self, router: Router, answers: AddressAnswers, onions: OnionGossip | None = None) -> None:
        self._router = router
        self._answers = answers
        self._onions = OnionGossip() if onions is None else onions
        self._route = router.subscribe(*self.types)

    async def run(self) -> None:
        async for request in self._route:
            reply = addresses_to_wire(await self._addresses())
            await self._router.answer(request, KaspadMessage(addresses=reply))

    async def _addresses(self) -> list[NodeAddress]:
        info = self._router.info
        told = await self._onions.own_for(info)
        own = self._onions.own()  # which the answer of the day may contain, from before it was known
        ours = None if own is None else own.host
        answer = [
            address
            for address in await self._answers.get(info.via)
            if isinstance(address, NetAddress) or (info.onions and address.host != ours)
        ]
        if told is not None:
            del answer[MAX_ADDRESSES_SENT - 1 :]
            answer.insert(secrets.randbelow(len(answer) + 1), told)  # where the order does not point at it
        return answer


class AddressesReceiver:
    """Requests addresses once. The reply must hold at most 2500 well-formed entries, or the peer is rejected.

    A peer need not reply. A second reply closes the connection, as in kaspad. Onion services from a peer that has not
    said that it knows them, or to whom we have not said it, are dropped, and so are those whose checksum is wrong; the
    rest of the reply is stored.
    """

    types = ("addresses",)

    def __init__(
        self, router: Router, book: AddressBook, on_received: Callable[[tuple[NodeAddress, ...]], Awaitable[None]]
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
        addresses = addresses_from_wire(answer.addresses, onions=self._router.info.onions)
        await self._book.learn(addresses)
        await self._on_received(addresses)


class AdvertisedAddress:
    """Stores the address that a peer advertises in its Version."""

    def __init__(self, book: AddressBook, address: NodeAddress) -> None:
        self._book = book
        self._address = address

    async def run(self) -> None:
        await self._book.learn([self._address])
