"""B11 and B14: the cost of the node's router and flows, compared with a bare grpclib stream of the same messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, TypeAlias

from grpclib.client import Channel
from grpclib.const import Cardinality
from kaspa_end import BLOCKS_PER_SECOND, IDS_PER_SECOND, Order, order, payload_of
from measure import Block, Scale, compare, estimate, ratios, typical
from processes import server
from report import Must, Row

from ziggurat.node.adaptor import Adaptor
from ziggurat.node.address import NetAddress
from ziggurat.node.connection_handler import ConnectionHandler
from ziggurat.node.handshake.identity import NodeIdentity
from ziggurat.node.peer.events import BlockAnnounced, EventStream, TransactionsAnnounced
from ziggurat.node.peer.router import Router
from ziggurat.node.wire.p2p_pb2 import KaspadMessage
from ziggurat.node.wire.stream import MESSAGE_STREAM

__all__ = ["load", "streams"]

Fetch: TypeAlias = Callable[[Order, int], Awaitable[None]]
"""Requests messages and returns when all of them have arrived."""

SESSIONS = 5
"""Sessions, each on new connections."""

PEERS = 8


class Counter:
    """A flow as a user would write it: it receives three types of messages and counts them."""

    def __init__(self, router: Router) -> None:
        self.router = router
        self._route = router.subscribe("invRelayBlock", "invTransactions", "block")
        self._wanted = 0
        self._done = asyncio.Event()

    async def run(self) -> None:
        async for message in self._route:
            assert message.WhichOneof("payload") != "block" or len(message.block.transactions) == 1024
            self._wanted -= 1
            if self._wanted == 0:
                self._done.set()

    async def fetch(self, kind: Order, count: int) -> None:
        self._wanted = count
        self._done.clear()
        await self.router.send(order(kind, count))
        await self._done.wait()


async def node(port: int, stack: AsyncExitStack) -> Fetch:
    """Connect our node: stack, channel, handshake, router, flow."""
    flows: list[Counter] = []

    def make(router: Router) -> Counter:
        flows.append(Counter(router))
        return flows[-1]

    adaptor = Adaptor(ConnectionHandler(), NodeIdentity("kaspa-devnet"), flows=[make])
    await stack.enter_async_context(adaptor)
    await adaptor.connect_peer(NetAddress.parse(f"127.0.0.1:{port}"))
    return flows[0].fetch


async def bare(port: int, stack: AsyncExitStack) -> Fetch:
    """Connect grpclib's own channel, with a loop over its stream."""
    stream = await _stream(port, stack)

    async def fetch(kind: Order, count: int) -> None:
        await stream.send_message(order(kind, count))
        for _ in range(count):
            message = await stream.recv_message()
            assert message.WhichOneof("payload") != "block" or len(message.block.transactions) == 1024

    return fetch


async def _stream(port: int, stack: AsyncExitStack) -> Any:
    channel = Channel("127.0.0.1", port)
    stack.callback(channel.close)
    call = channel.request(MESSAGE_STREAM, Cardinality.STREAM_STREAM, KaspadMessage, KaspadMessage)
    stream = await stack.enter_async_context(call)
    await stream.send_request()
    await stream.recv_message()  # its Version
    stack.push_async_callback(stream.cancel)
    return stream


SIDES = {"ziggurat": node, "grpclib": bare}

WORK: dict[Order, tuple[str, int, int]] = {
    Order.INVS: ("block announcements of 32 bytes", 1000, 20),
    Order.IDS: ("announcements of 1000 transactions", 100, 5),
    Order.BLOCKS: ("blocks of 1 MiB", 16, 2),
}


async def streams(scale: Scale) -> list[Row]:
    """B11: messages per second through router and flow, by wall time and by CPU time."""
    rows: list[Row] = []
    for kind, (what, usual, quick) in WORK.items():
        count = scale.units(usual, quick)
        rounds = scale.pairs(60)
        sessions = min(SESSIONS, rounds)
        samples: dict[str, list[Any]] = {side: [] for side in SIDES}
        async with server("kaspa") as port:
            for _ in range(sessions):
                async with _opened(port) as sides:
                    blocks: dict[str, Block] = {
                        side: partial(_fetch, fetch, kind, count) for side, fetch in sides.items()
                    }
                    for side, more in (await compare(blocks, rounds // sessions)).items():
                        samples[side] += more
        for key, name in (("wall", "by the clock"), ("cpu", "of CPU")):
            mine, other = samples["ziggurat"], samples["grpclib"]
            shown = [f"{1 / typical(side, key):.0f}/s" for side in (mine, other)]
            faster = ratios(other, mine, key)
            rows.append(
                Row("B11", f"{payload_of(kind)} a second {name}: {what}", "grpclib", *shown, faster, Must(0.85, ">="))
            )
    return rows


async def _fetch(fetch: Fetch, kind: Order, count: int) -> float:
    await fetch(kind, count)
    return count


@asynccontextmanager
async def _opened(port: int) -> AsyncIterator[dict[str, Fetch]]:
    async with AsyncExitStack() as stack:
        yield {name: await open_side(port, stack) for name, open_side in SIDES.items()}


# -- B14


async def load(scale: Scale) -> list[Row]:
    """B14: CPU while eight peers send the announcements of mainnet."""
    tenths = scale.units(30, 3)
    async with server("kaspa") as port, AsyncExitStack() as stack:
        ours, theirs = await _listening_node(port, stack), await _listening_streams(port, stack)
        blocks: dict[str, Block] = {
            "ziggurat": partial(_window, ours, tenths),
            "grpclib": partial(_window, theirs, tenths),
        }
        samples = await compare(blocks, scale.pairs(6))
    mine, other = samples["ziggurat"], samples["grpclib"]
    what = f"CPU with {PEERS} peers, each {BLOCKS_PER_SECOND} blocks and {IDS_PER_SECOND} transaction ids a second"
    shown = [f"{typical(side) * 100:.1f} % of a core" for side in (mine, other)]
    percent = estimate([sample.cpu * 100 for sample in mine])
    return [
        Row("B14", what, "grpclib", *shown, ratios(mine, other)),
        Row("B14", "the same, in percent of a core", "", shown[0], "", percent),
    ]


Window: TypeAlias = Callable[[int], Awaitable[None]]


async def _window(run: Window, tenths: int) -> float:
    await run(tenths)
    return tenths / 10


async def _listening_node(port: int, stack: AsyncExitStack) -> Window:
    adaptor = Adaptor(ConnectionHandler(), NodeIdentity("kaspa-devnet"))
    await stack.enter_async_context(adaptor)
    for _ in range(PEERS):
        await adaptor.connect_peer(NetAddress.parse(f"127.0.0.1:{port}"))
    events = stack.enter_context(adaptor.subscribe_events())

    async def run(tenths: int) -> None:
        for router in adaptor.hub.routers():
            await router.send(order(Order.LOAD, tenths))
        await _hear(events, PEERS * tenths)

    return run


async def _hear(events: EventStream, ticks: int) -> None:
    blocks = transactions = 0
    async for event in events:
        blocks += isinstance(event, BlockAnnounced)
        transactions += isinstance(event, TransactionsAnnounced)
        if transactions == ticks:
            break
    assert blocks == ticks * BLOCKS_PER_SECOND // 10
    assert not events.dropped


async def _listening_streams(port: int, stack: AsyncExitStack) -> Window:
    streams = [await _stream(port, stack) for _ in range(PEERS)]

    async def read(stream: Any, messages: int) -> None:
        for _ in range(messages):
            message = await stream.recv_message()
            payload = message.WhichOneof("payload")
            hashes = [message.invRelayBlock.hash] if payload == "invRelayBlock" else message.invTransactions.ids
            assert all(len(entry.bytes) == 32 for entry in hashes)

    async def run(tenths: int) -> None:
        for stream in streams:
            await stream.send_message(order(Order.LOAD, tenths))
        messages = tenths * (1 + BLOCKS_PER_SECOND // 10)
        await asyncio.gather(*(read(stream, messages) for stream in streams))

    return run
