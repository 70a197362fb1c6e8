"""The main job in small: a node dials an embedded peer by name through an embedded SOCKS5 proxy, all on loopback.

Only the proxy knows what the name means, so that a look-up behind its back would fail the demonstration.
"""

from __future__ import annotations

import errno
import secrets
import time
from dataclasses import dataclass, field
from typing import TypedDict, TypeVar

import anyio
from anyio.abc import ByteStream
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import ListValue, Struct
from google.protobuf.wrappers_pb2 import UInt64Value
from grpclib.const import Cardinality

from ziggurat.layers import Socks5Layer, Stack, UserPass
from ziggurat.layers.testing import Socks5Server
from ziggurat.node.connection_handler import ConnectionHandler
from ziggurat.node.testing import DemoPeer
from ziggurat.services import Channel, ConnectError, Ledger, Uri

__all__ = ["Demonstration", "PeerRecord", "demonstrate"]

PEER = Uri.parse("http://peer.demo:16111")
NONCE = 0x5A16C0DE

Reply = TypeVar("Reply", bound=Message)


class PeerRecord(TypedDict):
    """Who answered, as ``--json`` prints it."""

    id: str
    user_agent: str
    protocol_version: int
    network: str
    services: int


@dataclass(slots=True)
class Demonstration:
    """What happened; what did not is ``None`` or empty.

    Attributes:
        stack: how the peer was dialled.
        via: the proxy's address.
        ledger: of the dial.
        peer: who answered.
        ping: seconds of the ping's round trip.
        addresses: what the peer knows.
        resolved_by_proxy: the host that the proxy was asked for.
        error: what failed, if it did.
    """

    stack: Stack
    via: str
    target: Uri = PEER
    ledger: Ledger | None = None
    peer: PeerRecord | None = None
    ping: float | None = None
    addresses: list[str] = field(default_factory=list[str])
    resolved_by_proxy: str | None = None
    error: Exception | None = None


async def demonstrate(user_agent: str) -> Demonstration:
    """Start the peer and the proxy, dial, talk, stop. What failed is in the answer, not raised.

    Args:
        user_agent: what the peer calls itself.
    """
    async with DemoPeer(user_agent).serve() as port:

        async def reach(uri: Uri) -> ByteStream:
            """What the proxy does with a name: nobody else knows ``peer.demo``."""
            if uri.host != PEER.host:
                raise ConnectionRefusedError(errno.ECONNREFUSED, "this proxy knows one peer")
            return await anyio.connect_tcp("127.0.0.1", port)

        user = UserPass("demo", secrets.token_hex(8))
        proxy = Socks5Server({user.username: user.password}, connector=reach)
        async with proxy.serve() as address:
            handler = ConnectionHandler(Socks5Layer(address, auth=user))
            result = Demonstration(handler.stack(), address.authority)
            try:
                async with handler.channel(PEER) as channel:
                    result.ledger = channel.ledger
                    await _talk(channel, result)
            except ConnectError as error:
                result.ledger, result.error = error.ledger, error
            except Exception as error:
                result.error = error
            result.resolved_by_proxy = proxy.requests[-1].host if proxy.requests else None
            return result


async def _talk(channel: Channel, result: Demonstration) -> None:
    who = (await _ask(channel, DemoPeer.IDENTIFY, Empty(), Struct)).fields
    result.peer = PeerRecord(
        id=who["id"].string_value,
        user_agent=who["user_agent"].string_value,
        protocol_version=int(who["protocol_version"].number_value),
        network=who["network"].string_value,
        services=int(who["services"].number_value),
    )
    started = time.perf_counter()
    async with channel.request(DemoPeer.PING, Cardinality.STREAM_STREAM, UInt64Value, UInt64Value) as stream:
        await stream.send_message(UInt64Value(value=NONCE), end=True)
        pong = await stream.recv_message()
    if pong is None or pong.value != NONCE:
        raise RuntimeError("the peer's pong is not our ping")
    result.ping = time.perf_counter() - started
    known = await _ask(channel, DemoPeer.ADDRESSES, Empty(), ListValue)
    result.addresses = [value.string_value for value in known.values]


async def _ask(channel: Channel, method: str, request: Message, reply_type: type[Reply]) -> Reply:
    async with channel.request(method, Cardinality.UNARY_UNARY, type(request), reply_type) as stream:
        await stream.send_message(request, end=True)
        reply: Reply | None = await stream.recv_message()
    if reply is None:
        raise RuntimeError(f"the peer gave no reply to {method}")
    return reply
