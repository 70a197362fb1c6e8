from __future__ import annotations

import pytest

from tests.node.lines import info, running_router, settle
from ziggurat.node.flows.inventories import CAPACITY, IDS_PER_TURN, Inventories
from ziggurat.node.peer.events import BlockAnnounced, Event, TransactionsAnnounced
from ziggurat.node.wire import p2p_pb2 as p2p
from ziggurat.node.wire.p2p_pb2 import KaspadMessage

pytestmark = pytest.mark.asyncio_only


def block(hash: bytes) -> KaspadMessage:
    return KaspadMessage(invRelayBlock=p2p.InvRelayBlockMessage(hash=p2p.Hash(bytes=hash)))


def transactions(*ids: bytes) -> KaspadMessage:
    return KaspadMessage(invTransactions=p2p.InvTransactionsMessage(ids=[p2p.TransactionId(bytes=id) for id in ids]))


async def test_announcements_become_events_and_nothing_is_requested() -> None:
    async with running_router() as (router, line):
        events: list[Event] = []
        router.start_flow(Inventories(router, events.append))
        line.feed(block(b"b" * 32), transactions(b"1" * 32, b"2" * 32))
        await settle()
        assert events == [
            BlockAnnounced(info(), b"b" * 32),
            TransactionsAnnounced(info(), (b"1" * 32, b"2" * 32)),
        ]
        assert line.sent == []


async def test_excess_announcements_are_dropped_and_the_connection_stays_open() -> None:
    async with running_router() as (router, line):
        flow = Inventories(router, [].append)  # not started, so its route is not read
        line.feed(*[block(bytes(32))] * (CAPACITY + 100))
        await settle()
        assert router.reason is None
        assert flow._route.dropped == 100


@pytest.mark.parametrize(
    "message", [block(b"short"), transactions(b"short"), KaspadMessage(invRelayBlock=p2p.InvRelayBlockMessage())]
)
async def test_a_malformed_announcement_is_rejected(message: KaspadMessage) -> None:
    async with running_router() as (router, line):
        router.start_flow(Inventories(router, [].append))
        line.feed(message)
        await router.closed.wait()
        assert line.names() == ["reject"]


async def test_long_announcements_are_converted_in_parts() -> None:
    turns = 0

    async with running_router() as (router, line):
        events: list[Event] = []
        router.start_flow(Inventories(router, events.append))
        take = router._turns.take

        async def counted() -> None:
            nonlocal turns
            turns += 1
            await take()

        router._turns.take = counted  # type: ignore[method-assign]
        ids = [number.to_bytes(32, "big") for number in range(10 * IDS_PER_TURN)]
        line.feed(transactions(*ids))
        await settle()
        assert events == [TransactionsAnnounced(info(), tuple(ids))]
        assert turns >= 10
