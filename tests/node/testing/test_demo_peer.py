"""The embedded peer, asked by a plain grpclib channel."""

from __future__ import annotations

import pytest
from google.protobuf.empty_pb2 import Empty
from google.protobuf.struct_pb2 import ListValue, Struct
from google.protobuf.wrappers_pb2 import UInt64Value
from grpclib.client import Channel, StreamStreamMethod, UnaryUnaryMethod

from ziggurat.node.testing import DemoPeer

pytestmark = [pytest.mark.asyncio_only, pytest.mark.real_io]


async def test_it_introduces_itself_and_says_that_it_is_a_demonstration() -> None:
    peer = DemoPeer("/x:1/")
    async with peer.serve() as port, Channel("127.0.0.1", port) as channel:
        reply = await UnaryUnaryMethod(channel, DemoPeer.IDENTIFY, Empty, Struct)(Empty())

    assert dict(reply.items()) == {
        "id": peer.id,
        "user_agent": "/x:1/",
        "protocol_version": 1,
        "network": "demo",
        "services": 0,
    }


async def test_it_sends_each_nonce_back_in_order() -> None:
    async with DemoPeer("/x:1/").serve() as port, Channel("127.0.0.1", port) as channel:
        nonces = [UInt64Value(value=value) for value in (1, 2**64 - 1)]
        replies = await StreamStreamMethod(channel, DemoPeer.PING, UInt64Value, UInt64Value)(nonces)

    assert replies == nonces


async def test_its_addresses_are_nobodys() -> None:
    async with DemoPeer("/x:1/").serve() as port, Channel("127.0.0.1", port) as channel:
        reply = await UnaryUnaryMethod(channel, DemoPeer.ADDRESSES, Empty, ListValue)(Empty())

    assert [str(value) for value in reply] == ["192.0.2.10:16111", "192.0.2.11:16111", "[2001:db8::12]:16111"]


def test_each_peer_has_an_id_of_its_own() -> None:
    assert DemoPeer("a").id != DemoPeer("a").id
