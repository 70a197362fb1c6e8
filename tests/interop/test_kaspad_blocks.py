"""Download and decode blocks announced by a real kaspad, on simnet, where it mines on request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from tests.interop.kaspad import PAY_SCRIPT, Program, starting
from ziggurat.node import (
    Adaptor,
    Block,
    ConnectionHandler,
    NodeIdentity,
    PeerClosed,
    PeerDisconnected,
    Router,
    request_block,
)
from ziggurat.node.wire.convert.block import block_from_wire, block_to_wire

pytestmark = [pytest.mark.real_io, pytest.mark.asyncio_only]

LIMIT = 60.0
GENESIS = bytes.fromhex("411f8cd26f3d41aea39e78573927da24d23995705b579f30959b9127e96b79e3")
"""The hash of simnet's first block."""

COINBASE = b"\1" + bytes(19)


@pytest.fixture
def kaspad(new_folder: Callable[[str], Path]) -> Iterator[Program]:
    with starting(new_folder, "--enable-unsynced-mining", network="simnet", rpc=True) as program:
        yield program


class Watch:
    """Downloads each announced block."""

    def __init__(self, router: Router) -> None:
        self.router = router
        self.blocks, self.found = anyio.create_memory_object_stream[tuple[bytes, Block]](10)
        self.announced = router.subscribe("invRelayBlock")

    async def run(self) -> None:
        with self.blocks:
            async for message in self.announced:
                hash = message.invRelayBlock.hash.bytes
                await self.blocks.send((hash, await request_block(self.router, hash)))


@asynccontextmanager
async def watching(kaspad: Program) -> AsyncIterator[tuple[Adaptor, Watch]]:
    watches: list[Watch] = []

    def watch(router: Router) -> Watch:
        watches.append(Watch(router))
        return watches[-1]

    with anyio.fail_after(LIMIT):
        async with Adaptor(ConnectionHandler(), NodeIdentity("kaspa-simnet"), flows=[watch]) as node:
            await node.connect_peer(kaspad.address)
            [only] = watches
            with only.found:
                yield node, only


async def test_mined_blocks_are_announced_and_downloaded(kaspad: Program) -> None:
    chain: list[Block] = []
    async with watching(kaspad) as (_, watch):
        genesis = await request_block(watch.router, GENESIS)
        for _ in range(3):
            await kaspad.mine()
            hash, block = await watch.found.receive()
            assert block.header.hash == hash
            chain.append(block)

    assert genesis.header.parents == ()
    assert [block.header.parents[0] for block in chain] == [(block.header.hash,) for block in (genesis, *chain[:-1])]
    assert [block.header.blue_score for block in chain] == [1, 2, 3]
    assert all(block.header.timestamp > genesis.header.timestamp for block in chain)
    for block in chain:
        [coinbase] = block.transactions
        assert coinbase.subnetwork_id == COINBASE
        assert coinbase.inputs == ()
        assert PAY_SCRIPT in coinbase.payload  # the miner's address
    # A block pays the miners of the blocks that it merges; before the first one there were none.
    paid = [[output.script_public_key.script for output in block.transactions[0].outputs] for block in chain]
    assert paid == [[], [PAY_SCRIPT], [PAY_SCRIPT]]
    for block in (genesis, *chain):
        assert block_from_wire(block_to_wire(block)) == block
    assert kaspad.warnings() == []


async def test_the_newest_block_is_announced_to_a_new_peer(kaspad: Program) -> None:
    await kaspad.mine()
    async with watching(kaspad) as (_, watch):
        hash, block = await watch.found.receive()
        assert block.header.hash == hash
        assert block.transactions


async def test_a_request_for_an_unknown_block_ends_the_connection(kaspad: Program) -> None:
    unknown = bytes(31) + b"\1"
    async with watching(kaspad) as (node, watch):
        with node.subscribe_events() as events:
            with pytest.raises(PeerClosed):
                await request_block(watch.router, unknown)
            async for event in events:
                if isinstance(event, PeerDisconnected):
                    assert f"cannot find full block {unknown.hex()}" in event.reason
                    break
