"""Several listeners as one, on the in-memory network and on real sockets."""

from __future__ import annotations

import asyncio
import socket

import anyio
import pytest

from ziggurat.node.adaptor import Adaptor
from ziggurat.node.address import NetAddress
from ziggurat.node.connection_handler import ConnectionHandler
from ziggurat.node.handshake.identity import NodeIdentity
from ziggurat.node.inbound.listener_group import ListenerGroup, tcp_listeners
from ziggurat.node.testing import MemoryNetwork

pytestmark = pytest.mark.asyncio_only


def test_a_group_has_a_listener() -> None:
    with pytest.raises(ValueError, match="empty"):
        ListenerGroup([])


async def test_all_listeners_start_and_stop_together() -> None:
    network = MemoryNetwork()
    group = ListenerGroup([network.host("10.0.0.1").listener(1), network.host("10.0.0.2").listener(2)])
    assert group.addresses == ()

    first = await group.start(asyncio.Protocol)

    assert list(map(str, group.addresses)) == ["10.0.0.1:1", "10.0.0.2:2"]
    assert first == group.addresses[0]
    await group.aclose()
    assert network.listening == {}


async def test_when_one_cannot_start_none_does() -> None:
    network = MemoryNetwork()
    group = ListenerGroup([network.host("10.0.0.1").listener(1), network.host("10.0.0.1").listener(1)])
    with pytest.raises(OSError, match="in use"):
        await group.start(asyncio.Protocol)
    assert network.listening == {}


@pytest.mark.real_io
@pytest.mark.skipif(not socket.has_ipv6, reason="needs IPv6")
async def test_the_same_port_can_be_listened_on_in_both_families() -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        port = taken.getsockname()[1]
    addresses = [NetAddress.parse(f"[::]:{port}"), NetAddress.parse(f"0.0.0.0:{port}")]
    group = ListenerGroup(tcp_listeners(addresses))
    await group.start(asyncio.Protocol)
    try:
        assert group.addresses == tuple(addresses)
        for host in ("127.0.0.1", "::1"):
            await (await anyio.connect_tcp(host, port)).aclose()
    finally:
        await group.aclose()


@pytest.mark.real_io
@pytest.mark.skipif(not socket.has_ipv6, reason="needs IPv6")
async def test_a_peer_from_ipv4_has_an_ipv4_address_at_a_listener_of_both_families() -> None:
    listener = ListenerGroup(tcp_listeners([NetAddress.parse("[::]:0")]))
    a = Adaptor(ConnectionHandler(), NodeIdentity("kaspa-devnet"), listener=listener)
    b = Adaptor(ConnectionHandler(), NodeIdentity("kaspa-devnet"))
    with anyio.fail_after(20):
        async with a, b:
            with a.subscribe_events() as events:
                await b.connect_peer(NetAddress.parse("127.0.0.1", group_port(listener)))
                await anext(events)
            (peer,) = a.peers()
            assert isinstance(peer.address, NetAddress)
            assert str(peer.address.ip) == "127.0.0.1"


def group_port(group: ListenerGroup) -> int:
    return group.addresses[0].port
