"""The network in memory."""

from __future__ import annotations

import asyncio

import anyio
import pytest
from anyio.abc import SocketAttribute

from ziggurat.node.testing import MemoryNetwork
from ziggurat.services import ConnectError, ConnectRefused, ResolveError, Uri

pytestmark = pytest.mark.asyncio_only

TARGET = Uri.parse("http://10.0.0.1:5")


class Echo(asyncio.Protocol):
    peers: list[object]

    def __init__(self, peers: list[object]) -> None:
        self.peers = peers

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.peers.append(transport.get_extra_info("peername"))

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)  # type: ignore[attr-defined]


async def test_bytes_go_both_ways_and_each_end_knows_the_others_address() -> None:
    network, peers = MemoryNetwork(), []
    listener = network.host("10.0.0.1").listener(5)
    address = await listener.start(lambda: Echo(peers))
    assert str(address) == "10.0.0.1:5"
    async with await network.host("10.0.0.2")(TARGET) as stream:
        await stream.send(b"hello")
        assert await stream.receive() == b"hello"
        assert stream.extra(SocketAttribute.remote_address) == ("10.0.0.1", 5)
        assert peers == [("10.0.0.2", 40000)]
    assert network.dials == [TARGET]


async def test_names_are_resolved_by_the_network() -> None:
    network = MemoryNetwork()
    network.names["peer.example"] = "10.0.0.1"
    await network.host("10.0.0.1").listener(5).start(lambda: Echo([]))
    async with await network.host("10.0.0.2")(Uri.parse("http://peer.example:5")):
        pass
    with pytest.raises(ResolveError, match="unknown name"):
        await network.host("10.0.0.2")(Uri.parse("http://nobody.example:5"))


async def test_dials_are_refused_before_the_listener_starts_and_after_it_closes() -> None:
    network = MemoryNetwork()
    listener = network.host("10.0.0.1").listener(5)
    with pytest.raises(ConnectRefused):
        await network.host("10.0.0.2")(TARGET)
    await listener.start(lambda: Echo([]))
    with pytest.raises(OSError, match="address in use"):
        await network.host("10.0.0.1").listener(5).start(lambda: Echo([]))
    await listener.aclose()
    with pytest.raises(ConnectRefused):
        await network.host("10.0.0.2")(TARGET)


async def test_a_host_that_dies_cuts_its_connections_and_refuses_new_ones() -> None:
    network = MemoryNetwork()
    host, other = network.host("10.0.0.1"), network.host("10.0.0.2")
    await host.listener(5).start(lambda: Echo([]))
    stream = await other(TARGET)
    host.die()
    with pytest.raises(anyio.BrokenResourceError):
        await stream.receive()
    await stream.aclose()
    with pytest.raises(ConnectRefused):
        await other(TARGET)
    with pytest.raises(ConnectError, match="unreachable"):
        await host(TARGET)
