"""A small gRPC service to dial in a demonstration: it introduces itself, answers pings and knows some addresses.

It stands in for a Kaspa peer and says so: its network is ``demo``. Its messages are protobuf's well-known types, so
that no schema is needed to read this file.
"""

from __future__ import annotations

import socket
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from google.protobuf.empty_pb2 import Empty
from google.protobuf.struct_pb2 import ListValue, Struct
from google.protobuf.wrappers_pb2 import UInt64Value
from grpclib.const import Cardinality, Handler
from grpclib.server import Server, Stream

__all__ = ["DemoPeer"]

SERVICE = "/ziggurat.demo.Peer"
LOOPBACK = "127.0.0.1"
ADDRESSES = ("192.0.2.10:16111", "192.0.2.11:16111", "[2001:db8::12]:16111")
"""Of the ranges set aside for documentation (RFC 5737, RFC 3849): nobody can be dialled by mistake."""


class DemoPeer:
    """The service; `serve` runs it on a free loopback port.

    Attributes:
        id: 32 hex digits, new for each peer.
        user_agent: what it calls itself.
    """

    IDENTIFY = f"{SERVICE}/Identify"
    PING = f"{SERVICE}/Ping"
    ADDRESSES = f"{SERVICE}/Addresses"

    def __init__(self, user_agent: str) -> None:
        self.id = uuid.uuid4().hex
        self.user_agent = user_agent

    @asynccontextmanager
    async def serve(self) -> AsyncGenerator[int]:
        """Listen on loopback for the length of an ``async with`` block; gives the port."""
        # With the protocol named: asyncio turns Nagle off only for sockets that say they are TCP.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.bind((LOOPBACK, 0))
        server = Server([self])
        await server.start(sock=listener)
        try:
            yield int(listener.getsockname()[1])
        finally:
            server.close()
            await server.wait_closed()

    async def identify(self, stream: Stream[Empty, Struct]) -> None:
        """Say who this is, in the words of Kaspa's Version message."""
        await stream.recv_message()
        reply = Struct()
        reply.update(
            {
                "id": self.id,
                "user_agent": self.user_agent,
                "protocol_version": 1,
                "network": "demo",
                "services": 0,
            }
        )
        await stream.send_message(reply)

    async def ping(self, stream: Stream[UInt64Value, UInt64Value]) -> None:
        """Send each nonce back."""
        async for nonce in stream:
            await stream.send_message(nonce)

    async def addresses(self, stream: Stream[Empty, ListValue]) -> None:
        """Tell the addresses that it knows."""
        await stream.recv_message()
        reply = ListValue()
        reply.extend(ADDRESSES)
        await stream.send_message(reply)

    def __mapping__(self) -> dict[str, Handler]:
        """What grpclib's server asks for its methods."""
        unary, both = Cardinality.UNARY_UNARY, Cardinality.STREAM_STREAM
        return {
            self.IDENTIFY: Handler(self.identify, unary, Empty, Struct),
            self.PING: Handler(self.ping, both, UInt64Value, UInt64Value),
            self.ADDRESSES: Handler(self.addresses, unary, Empty, ListValue),
        }
