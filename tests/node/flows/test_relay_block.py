"""Announced blocks are downloaded, and only the requested block is accepted."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import pytest

from tests.node.lines import FakeStream, running_router, settle
from ziggurat.node.flows import BLOCK_TIMEOUT, request_block
from ziggurat.node.peer.route import FlowError, PeerClosed
from ziggurat.node.peer.router import Router
from ziggurat.node.testing import sample_block
from ziggurat.node.wire import p2p_pb2 as p2p
from ziggurat.node.wire.convert.block import Block, block_to_wire
from ziggurat.node.wire.convert.header import header_to_wire
from ziggurat.node.wire.p2p_pb2 import KaspadMessage

pytestmark = pytest.mark.asyncio_only

BLOCK, OTHER = sample_block(1), sample_block(2)
HASH = BLOCK.header.hash


class Watch:
    """Requests each announced block."""

    def __init__(self, router: Router) -> None:
        self.router = router
        self.announced = router.subscribe("invRelayBlock")
        self.blocks: list[Block] = []

    async def run(self) -> None:
        async for message in self.announced:
            self.blocks.append(await request_block(self.router, message.invRelayBlock.hash.bytes))


def announcement(hash: bytes = HASH) -> KaspadMessage:
    return KaspadMessage(invRelayBlock=p2p.InvRelayBlockMessage(hash=p2p.Hash(bytes=hash)))


def answer(line: FakeStream, block: p2p.BlockMessage) -> KaspadMessage:
    return KaspadMessage(block=block, response_id=line.sent[-1].request_id)


async def closed(router: Router) -> None:
    with anyio.fail_after(2 * BLOCK_TIMEOUT):
        await router.closed.wait()


async def test_the_requested_block_is_returned() -> None:
    async with running_router() as (router, line):
        flow = Watch(router)
        router.start_flow(flow)
        for block in (BLOCK, OTHER):
            line.feed(announcement(block.header.hash))
            await settle()
            assert [each.bytes for each in line.sent[-1].requestRelayBlocks.hashes] == [block.header.hash]
            line.feed(answer(line, block_to_wire(block)))
            await settle()
        assert flow.blocks == [BLOCK, OTHER]
        assert router.reason is None
        assert line.names() == ["requestRelayBlocks", "requestRelayBlocks"]


async def test_each_of_two_requests_at_once_gets_its_own_answer() -> None:
    async with running_router() as (router, line):
        found: dict[bytes, Block] = {}

        async def request(hash: bytes) -> None:
            found[hash] = await request_block(router, hash)

        async with anyio.create_task_group() as tasks:
            for block in (BLOCK, OTHER):
                tasks.start_soon(request, block.header.hash)
            await settle()
            blocks = {block.header.hash: block_to_wire(block) for block in (BLOCK, OTHER)}
            for sent in reversed(line.sent):
                hash = sent.requestRelayBlocks.hashes[0].bytes
                line.feed(KaspadMessage(block=blocks[hash], response_id=sent.request_id))
        assert found == {BLOCK.header.hash: BLOCK, OTHER.header.hash: OTHER}


def another(line: FakeStream) -> KaspadMessage:
    return answer(line, block_to_wire(OTHER))


def malformed(line: FakeStream) -> KaspadMessage:
    block = block_to_wire(BLOCK)
    block.header.ClearField("utxoCommitment")
    return answer(line, block)


def header_alone(line: FakeStream) -> KaspadMessage:
    return answer(line, p2p.BlockMessage(header=header_to_wire(BLOCK.header)))


def another_type(line: FakeStream) -> KaspadMessage:
    return KaspadMessage(pong=p2p.PongMessage(), response_id=line.sent[-1].request_id)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (another, f"requested block hash {HASH.hex()} but got block {OTHER.header.hash.hex()}"),
        (malformed, "Optional field is None while expected to be Some"),
        (header_alone, f"sent header of {HASH.hex()} where expected block with body"),
        (another_type, "expected message type/s block but got pong"),
    ],
)
async def test_a_peer_that_sends_something_else_is_rejected(
    bad: Callable[[FakeStream], KaspadMessage], reason: str
) -> None:
    async with running_router() as (router, line):
        flow = Watch(router)
        router.start_flow(flow)
        line.feed(announcement())
        await settle()
        line.feed(bad(line))
        await closed(router)
        assert line.sent[-1].reject.reason == reason
        assert router.reason == f"we rejected the peer: {reason}"
        assert flow.blocks == []


async def test_a_peer_that_sends_nothing_is_rejected_after_two_minutes() -> None:
    async with running_router() as (router, line):
        router.start_flow(Watch(router))
        line.feed(announcement())
        started = anyio.current_time()
        await closed(router)
        assert anyio.current_time() - started == pytest.approx(BLOCK_TIMEOUT, abs=0.1)
        assert line.sent[-1].reject.reason == "timeout expired after 120s"


async def test_an_announced_hash_of_another_length_is_rejected_and_not_requested() -> None:
    async with running_router() as (router, line):
        router.start_flow(Watch(router))
        line.feed(announcement(b"short"))
        await closed(router)
        assert line.names() == ["reject"]
        assert line.sent[-1].reject.reason.startswith("Bytes size mismatch")


async def test_a_timeout_and_a_malformed_hash_are_flow_errors() -> None:
    async with running_router() as (router, _):
        with pytest.raises(FlowError, match="timeout expired after 3s"):
            await request_block(router, HASH, timeout=3)
        with pytest.raises(FlowError, match="Bytes size mismatch"):
            await request_block(router, b"short")


async def test_a_closed_connection_is_not_a_flow_error() -> None:
    async with running_router() as (router, line):

        async def end() -> None:
            line.end()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(end)
            with pytest.raises(PeerClosed):
                await request_block(router, HASH)
        with pytest.raises(PeerClosed):
            await request_block(router, HASH)


async def test_a_block_that_is_sent_twice_closes_the_connection() -> None:
    async with running_router() as (router, line):
        flow = Watch(router)
        router.start_flow(flow)
        line.feed(announcement())
        await settle()
        line.feed(*[answer(line, block_to_wire(BLOCK))] * 2)
        await closed(router)
        assert router.reason is not None
        assert "block" in router.reason


async def test_a_block_that_arrives_too_late_closes_the_connection() -> None:
    async with running_router() as (router, line):
        with pytest.raises(FlowError):
            await request_block(router, HASH, timeout=1)
        line.feed(answer(line, block_to_wire(BLOCK)))
        await closed(router)
        assert router.reason == "unexpected message: block"
