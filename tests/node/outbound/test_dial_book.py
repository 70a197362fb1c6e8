"""A book of one's own decides which addresses the manager dials."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import anyio
import pytest

from tests.node.outbound.test_connection_manager import Dns, Network, at
from ziggurat.node import AddressManager, ConnectionManager, ConnectionManagerConfig, DialBook, NetAddress
from ziggurat.services import ConnectRefused

pytestmark = pytest.mark.asyncio_only


class EachOnce:
    """A crawler's book: it offers each address once, and notes what became of it."""

    def __init__(self) -> None:
        self.todo: dict[NetAddress, None] = {}
        self.reached: list[NetAddress] = []
        self.missed: list[NetAddress] = []

    def add(self, addresses: Iterable[NetAddress], /) -> int:
        before = len(self.todo)
        self.todo.update(dict.fromkeys(addresses))
        return len(self.todo) - before

    def mark_success(self, address: NetAddress, /) -> None:
        self.reached.append(address)

    def mark_failure(self, address: NetAddress, /) -> None:
        self.missed.append(address)

    def pick_order(self, exclude: Collection[NetAddress] = (), /) -> list[NetAddress]:
        return [address for address in self.todo if address not in (*self.reached, *self.missed, *exclude)]


def test_the_address_manager_is_one() -> None:
    book: DialBook = AddressManager()

    assert book.add([at(1)]) == 1


async def test_the_manager_asks_it_what_to_dial_and_tells_it_the_outcome() -> None:
    network, book = Network(), EachOnce()
    network.error = lambda address: ConnectRefused("no") if address == at(2) else None
    book.add([at(1), at(2)])
    manager = ConnectionManager(ConnectionManagerConfig(outbound=3), network, book, Dns())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(manager.run)
        await anyio.sleep(1)
        assert (book.reached, book.missed) == ([at(1)], [at(2)])
        tasks.cancel_scope.cancel()


async def test_new_addresses_are_dialled_at_once_after_look() -> None:
    network, book = Network(), EachOnce()
    manager = ConnectionManager(ConnectionManagerConfig(outbound=3), network, book, Dns())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(manager.run)
        await anyio.sleep(1)
        book.add([at(1)])
        await anyio.sleep(1)
        assert network.dials == []
        manager.look()
        await anyio.sleep(1)
        assert book.reached == [at(1)]
        tasks.cancel_scope.cancel()
