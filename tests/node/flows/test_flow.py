"""The flows that a peer gets, and the precedence of a user's."""

from __future__ import annotations

import pytest

from tests.node.lines import info, running_router, settle
from ziggurat.node.flows import FlowContext, default_flows
from ziggurat.node.peer.events import AddressesReceived, Event, TransactionsAnnounced
from ziggurat.node.wire import p2p_pb2 as p2p
from ziggurat.node.wire.p2p_pb2 import KaspadMessage

pytestmark = pytest.mark.asyncio_only

REQUESTS = {
    *("ping", "pong", "requestAddresses", "addresses", "invRelayBlock", "invTransactions", "requestTransactions"),
    *("requestRelayBlocks", "requestIBDBlocks", "requestBlockLocator", "requestHeaders", "requestNextHeaders"),
}


async def test_every_request_of_kaspad_has_a_flow() -> None:
    async with running_router() as (router, _):
        default_flows(router, FlowContext())
        assert all(map(router.is_subscribed, REQUESTS | {"reject"}))
        fields = KaspadMessage.DESCRIPTOR.oneofs_by_name["payload"].fields
        asked = {field.name for field in fields if field.name.startswith("request")}
        assert {name for name in asked if not router.is_subscribed(name)} == set()
        # Types that are only responses, or belong to the handshake, close the connection.
        assert not any(map(router.is_subscribed, ("version", "verack", "ready", "block", "transaction", "ibdBlock")))


async def test_a_users_flow_takes_precedence() -> None:
    async with running_router() as (router, line):
        mine = router.subscribe("ping")
        for flow in default_flows(router, FlowContext()):
            router.start_flow(flow)
        line.feed(KaspadMessage(ping=p2p.PingMessage(nonce=1)))
        assert (await mine.receive()).ping.nonce == 1
        await settle()
        assert "pong" not in line.names()


async def test_a_users_flow_for_one_kind_of_announcement_leaves_the_other_to_ours() -> None:
    async with running_router() as (router, line):
        events: list[Event] = []
        mine = router.subscribe("invRelayBlock")
        for flow in default_flows(router, FlowContext(publish=events.append)):
            router.start_flow(flow)
        inv = p2p.InvTransactionsMessage(ids=[p2p.TransactionId(bytes=b"t" * 32)])
        line.feed(KaspadMessage(invTransactions=inv), KaspadMessage(invRelayBlock=p2p.InvRelayBlockMessage()))
        assert (await mine.receive()).HasField("invRelayBlock")
        await settle()
        assert router.reason is None  # a message without a route would have closed the connection
        assert events == [TransactionsAnnounced(info(), (b"t" * 32,))]


async def test_received_addresses_are_published() -> None:
    async with running_router() as (router, line):
        events: list[Event] = []
        for flow in default_flows(router, FlowContext(publish=events.append)):
            router.start_flow(flow)
        line.feed(KaspadMessage(addresses=p2p.AddressesMessage(addressList=[p2p.NetAddress(ip=b"\n\0\0\1", port=5)])))
        await settle()
        assert [str(a) for e in events if isinstance(e, AddressesReceived) for a in e.addresses] == ["10.0.0.1:5"]
