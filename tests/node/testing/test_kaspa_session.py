"""One connection of the embedded peer, with its far end scripted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from tests.node.lines import FakeStream
from ziggurat.node.address import NetAddress
from ziggurat.node.testing import KaspaPeer, KaspaSession, sample_block
from ziggurat.node.wire import p2p_pb2 as p2p
from ziggurat.node.wire.convert.block import block_from_wire
from ziggurat.node.wire.p2p_pb2 import KaspadMessage

pytestmark = pytest.mark.asyncio_only

VERSION = KaspadMessage(
    version=p2p.VersionMessage(protocolVersion=11, network="kaspa-devnet", id=b"n" * 16, userAgent="/n/")
)
VERACK, READY = KaspadMessage(verack=p2p.VerackMessage()), KaspadMessage(ready=p2p.ReadyMessage())
ADDRESSES = KaspadMessage(addresses=p2p.AddressesMessage())


@asynccontextmanager
async def session(
    *said: KaspadMessage, peer: KaspaPeer | None = None
) -> AsyncIterator[tuple[KaspaSession, FakeStream]]:
    line = FakeStream()
    line.feed(*said)
    async with (peer or KaspaPeer()).run() as running:
        yield running._start_session(line, NetAddress.parse("10.0.0.1:5"), inbound=True), line


async def test_it_sends_messages_in_kaspads_order() -> None:
    async with session(VERSION, VERACK, READY) as (one, line):
        await one.ready.wait()
        await anyio.sleep(1)
        assert line.names() == ["version", "verack", "ready", "requestAddresses"]


@pytest.mark.parametrize(
    ("said", "after"), [([], 4), ([VERSION], 4), ([VERACK], 4), ([VERSION, VERACK], 8), ([VERSION, VERACK, READY], 120)]
)
async def test_its_time_limits_are_kaspads(said: list[KaspadMessage], after: int) -> None:
    async with session(*said, peer=KaspaPeer(ping_interval=10_000)) as (one, line):
        started = anyio.current_time()
        await one.closed.wait()
        assert anyio.current_time() - started == pytest.approx(after, abs=0.1)
        rejects = [message.reject.reason for message in line.sent if message.HasField("reject")]
        assert rejects == [f"timeout expired after {after}s"]


async def test_a_ping_without_a_pong_is_rejected() -> None:
    async with session(VERSION, VERACK, READY) as (one, line):
        await one.ready.wait()
        line.feed(ADDRESSES)
        await one.closed.wait()
        assert line.names()[-2:] == ["ping", "reject"]
        assert anyio.current_time() >= 240


@pytest.mark.parametrize(
    ("addresses", "reason"),
    [
        ([p2p.NetAddress(ip=b"123")], "IP has illegal length 3"),
        ([p2p.NetAddress(ip=bytes(4))] * 2501, "address count 2501 exceeded 2500"),
    ],
)
async def test_bad_addresses_are_rejected(addresses: list[p2p.NetAddress], reason: str) -> None:
    answer = KaspadMessage(addresses=p2p.AddressesMessage(addressList=addresses))
    async with session(VERSION, VERACK, READY) as (one, line):
        await one.ready.wait()
        line.feed(answer)
        await one.closed.wait()
        assert line.sent[-1].reject.reason == reason
        assert one.told is None


async def test_a_flood_of_inventories_is_dropped_and_a_flood_of_pings_closes_it() -> None:
    async with session(VERSION, VERACK, READY) as (one, line):
        await one.ready.wait()
        line.feed(ADDRESSES)
        line.feed(*[KaspadMessage(invTransactions=p2p.InvTransactionsMessage())] * 5000)
        await anyio.sleep(1)
        assert one.reason is None
        line.blocked = True
        line.feed(*[KaspadMessage(ping=p2p.PingMessage())] * 300)
        await one.closed.wait()
        assert one.reason == "route error: the queue of ping is full"


async def test_a_reject_closes_it_and_is_kept() -> None:
    async with session(VERSION, KaspadMessage(reject=p2p.RejectMessage(reason="no"))) as (one, line):
        await one.closed.wait()
        assert one.rejected == "no"
        assert "reject" not in line.names()


def request(*hashes: bytes) -> KaspadMessage:
    wanted = p2p.RequestRelayBlocksMessage(hashes=[p2p.Hash(bytes=each) for each in hashes])
    return KaspadMessage(requestRelayBlocks=wanted, request_id=7)


async def test_it_announces_its_blocks_and_sends_requested_ones() -> None:
    first, second = sample_block(1), sample_block(2)
    peer = KaspaPeer()
    await peer.announce(first)  # before any peer is connected
    async with session(VERSION, VERACK, READY, peer=peer) as (one, line):
        await one.ready.wait()
        await peer.announce(second)
        line.feed(ADDRESSES, request(second.header.hash, first.header.hash))
        await anyio.sleep(1)
        announced = [message.invRelayBlock.hash.bytes for message in line.sent if message.HasField("invRelayBlock")]
        assert announced == [first.header.hash, second.header.hash]
        answers = [message for message in line.sent if message.HasField("block")]
        assert [block_from_wire(message.block) for message in answers] == [second, first]
        assert [(message.response_id, message.request_id) for message in answers] == [(7, 0)] * 2


@pytest.mark.parametrize(
    ("hash", "reason"),
    [
        (b"b" * 32, f"cannot find full block {(b'b' * 32).hex()}"),
        (b"short", "Bytes size mismatch error could not convert slice to array"),
    ],
)
async def test_a_request_for_an_unknown_block_is_rejected(hash: bytes, reason: str) -> None:
    async with session(VERSION, VERACK, READY) as (one, line):
        await one.ready.wait()
        line.feed(ADDRESSES, request(hash))
        await one.closed.wait()
        assert line.sent[-1].reject.reason == reason


async def test_an_announcement_skips_a_lost_connection() -> None:
    peer = KaspaPeer()
    async with session(VERSION, VERACK, READY, peer=peer) as (one, line):
        await one.ready.wait()
        line.unwritable = "reset"
        await peer.announce(sample_block())
