"""The far end of the node's benchmarks: bare grpclib, which does kaspad's handshake and sends messages on request.

A ping with a special nonce is a request: for a number of messages of one kind, or for a load over some time.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import asynccontextmanager
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from ziggurat.node.wire import p2p_pb2 as p2p
from ziggurat.node.wire.p2p_pb2 import KaspadMessage
from ziggurat.node.wire.stream import MESSAGE_STREAM

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["BLOCKS_PER_SECOND", "IDS_PER_SECOND", "Order", "converse", "kaspa_server", "order", "payload_of", "version"]

BACKLOG = 4096
ORDERS = 0xC0FFEE
BLOCKS_PER_SECOND, IDS_PER_SECOND = 10, 300
"""Announcements on Kaspa's mainnet: blocks since the Crescendo hard fork, and transactions on a busy day."""

TICKS = 10
"""How often per second a load is sent."""


class Order(IntEnum):
    """What to send: messages as fast as possible, or a load for a number of tenths of a second."""

    INVS = 1
    IDS = 2
    BLOCKS = 3
    LOAD = 4


def order(kind: Order, count: int) -> KaspadMessage:
    """Return a ping that requests messages."""
    return KaspadMessage(ping=p2p.PingMessage(nonce=ORDERS << 40 | kind << 32 | count))


def inv() -> KaspadMessage:
    """Return the announcement of a block: a hash of 32 bytes."""
    return KaspadMessage(invRelayBlock=p2p.InvRelayBlockMessage(hash=p2p.Hash(bytes=bytes(range(32)))))


def ids(count: int) -> KaspadMessage:
    """Return an announcement of transactions: ids of 32 bytes."""
    entries = [p2p.TransactionId(bytes=bytes([number % 256]) * 32) for number in range(count)]
    return KaspadMessage(invTransactions=p2p.InvTransactionsMessage(ids=entries))


def block() -> KaspadMessage:
    """Return a block of 1 MiB: 1024 transactions of 1 KiB."""
    transaction = p2p.TransactionMessage(payload=bytes(range(256)) * 4)
    return KaspadMessage(block=p2p.BlockMessage(header=p2p.BlockHeader(), transactions=[transaction] * 1024))


MESSAGES = {Order.INVS: inv(), Order.IDS: ids(1000), Order.BLOCKS: block()}


def payload_of(kind: Order) -> str:
    """Return the payload type of the requested messages."""
    return str(MESSAGES[kind].WhichOneof("payload"))


def version() -> KaspadMessage:
    """Return the Version of a new peer, with a new id, so that many can share one IP address."""
    return KaspadMessage(
        version=p2p.VersionMessage(
            protocolVersion=11,
            timestamp=time.time_ns() // 1_000_000,
            id=secrets.token_bytes(16),
            userAgent="/bench:1/",
            network="kaspa-devnet",
        )
    )


async def converse(stream: Any) -> None:
    """Serve a message stream, as client or server, until the other end closes it."""
    async for message in stream:
        payload = message.WhichOneof("payload")
        if payload == "version":
            await stream.send_message(KaspadMessage(verack=p2p.VerackMessage()))
        elif payload == "ready":
            await stream.send_message(KaspadMessage(ready=p2p.ReadyMessage()))
        elif payload == "requestAddresses":
            await stream.send_message(KaspadMessage(addresses=p2p.AddressesMessage()))
        elif payload == "ping" and message.ping.nonce >> 40 == ORDERS:
            await _obey(stream, Order(message.ping.nonce >> 32 & 0xFF), message.ping.nonce & 0xFFFFFFFF)
        elif payload == "ping":
            await stream.send_message(KaspadMessage(pong=p2p.PongMessage(nonce=message.ping.nonce)))


async def _obey(stream: Any, kind: Order, count: int) -> None:
    if kind is not Order.LOAD:
        for _ in range(count):
            await stream.send_message(MESSAGES[kind])
        return
    loop = asyncio.get_running_loop()
    announced, transactions = inv(), ids(IDS_PER_SECOND // TICKS)
    start = loop.time()
    for tick in range(count):
        for _ in range(BLOCKS_PER_SECOND // TICKS):
            await stream.send_message(announced)
        await stream.send_message(transactions)
        await asyncio.sleep(max(0.0, start + (tick + 1) / TICKS - loop.time()))


class _Service:
    """The service, in the form that `grpclib.server.Server` expects."""

    def __mapping__(self) -> dict[str, Any]:
        from grpclib.const import Cardinality, Handler

        return {MESSAGE_STREAM: Handler(self.serve, Cardinality.STREAM_STREAM, KaspadMessage, KaspadMessage)}

    async def serve(self, stream: Any) -> None:
        await stream.send_initial_metadata()
        await stream.send_message(version())
        await converse(stream)


@asynccontextmanager
async def kaspa_server(tls: object = None) -> AsyncIterator[int]:
    """Serve on loopback; yields the port."""
    from grpclib.server import Server

    server = Server([_Service()])
    await server.start("127.0.0.1", 0, backlog=BACKLOG)
    assert server._server is not None
    yield server._server.sockets[0].getsockname()[1]
    server.close()
