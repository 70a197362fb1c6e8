"""The embedded peer against our node, in both directions, in virtual time; and its strictness."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from tests.node.nodes import dial_and_run
from ziggurat.node.adaptor import Adaptor
from ziggurat.node.address import NetAddress
from ziggurat.node.connection_handler import ConnectionHandler
from ziggurat.node.flows import FlowContext
from ziggurat.node.handshake.identity import NodeIdentity
from ziggurat.node.handshake.rejection import HandshakeError, Kind
from ziggurat.node.testing import KaspaPeer, MemoryNetwork
from ziggurat.node.wire import p2p_pb2 as p2p
from ziggurat.node.wire.p2p_pb2 import KaspadMessage

pytestmark = pytest.mark.asyncio_only

KNOWN = [NetAddress.parse("10.1.2.3:16611"), NetAddress.parse("[fd00::1]:16611")]
NODE = NetAddress.parse("10.0.0.1:16611")
PEER = NetAddress.parse("10.0.0.2:16611")


class Pair:
    """A node at 10.0.0.1 and a kaspad at 10.0.0.2, both listening."""

    def __init__(self, node: Adaptor, kaspad: KaspaPeer, network: MemoryNetwork) -> None:
        self.node = node
        self.kaspad = kaspad
        self.network = network


@asynccontextmanager
async def pair(
    kaspad: KaspaPeer | None = None, network: str = "kaspa-devnet", **identity: object
) -> AsyncIterator[Pair]:
    memory = MemoryNetwork()
    ours, theirs = memory.host("10.0.0.1"), memory.host("10.0.0.2")
    kaspad = kaspad or KaspaPeer(addresses=KNOWN)
    node = Adaptor(
        ConnectionHandler(leaf=ours),
        NodeIdentity(network, **identity),  # type: ignore[arg-type]
        listener=ours.listener(16611),
        context=FlowContext(),
    )
    async with kaspad.run(), kaspad.listen(theirs.listener(16611)), node:
        yield Pair(node, kaspad, memory)


async def test_we_dial_it_and_stay_connected_for_an_hour() -> None:
    async with pair() as both:
        info = await both.node.connect_peer(PEER)
        assert info.user_agent == "/kaspad:2.1.0/kaspad:2.1.0/"
        await anyio.sleep(3601)
        [session] = both.kaspad.sessions
        assert session.reason is None
        assert session.pongs == 30
        assert both.node.peers()[0].ping is not None
        assert session.received[:5] == ["version", "verack", "ready", "requestAddresses", "addresses"]
        assert session.received.count("ping") == 30


async def test_it_dials_us_with_compression_and_stays_connected_for_an_hour() -> None:
    async with pair() as both:
        session = await both.kaspad.dial(NODE, both.network.host("10.0.0.2"))
        await session.ready.wait()
        await anyio.sleep(3601)
        assert session.reason is None
        assert session.pongs == 30
        assert session.told == []
        [info] = both.node.peers()
        assert (info.direction, str(info.address.ip)) == ("inbound", "10.0.0.2")  # type: ignore[union-attr]


async def test_the_stream_ends_cleanly_when_the_node_stops() -> None:
    async with pair() as both:
        await both.node.connect_peer(PEER)
        await both.node.terminate_all("enough")
        [session] = both.kaspad.sessions
        await session.closed.wait()
        assert session.reason == "incoming stream ended"


@pytest.mark.parametrize(
    ("kaspad", "kind", "reason"),
    [
        (KaspaPeer("kaspa-simnet"), Kind.NETWORK, "Network mismatch - local: kaspa-devnet, remote: kaspa-simnet"),
        (KaspaPeer(protocol_version=9), Kind.VERSION, "P2P protocol version mismatch - local: 11, remote: 9"),
        (KaspaPeer(id=bytes(16)), Kind.SELF, "LOOPBACK_CONNECTION"),
    ],
)
async def test_both_sides_see_the_reason_of_a_refusal(kaspad: KaspaPeer, kind: Kind, reason: str) -> None:
    async with pair(kaspad, id=bytes(16)) as both:
        with pytest.raises(HandshakeError) as caught:
            await both.node.connect_peer(PEER)
        assert (caught.value.kind, caught.value.reason) == (kind, reason)
        [session] = kaspad.sessions
        await session.closed.wait()
        # Either side may be the first to reject.
        assert (session.rejected or session.reason or "").replace("simnet", "X").replace(
            "devnet", "X"
        ) == reason.replace("simnet", "X").replace("devnet", "X")


async def test_it_rejects_a_node_with_an_old_protocol_version() -> None:
    async with pair(protocol_version=9) as both:
        with pytest.raises(HandshakeError) as caught:
            await both.node.connect_peer(PEER)
        assert caught.value.by_peer
        assert caught.value.reason == "P2P protocol version mismatch - local: 11, remote: 9"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (KaspadMessage(), "route error: no flow has been registered for message type None"),
        (KaspadMessage(block=p2p.BlockMessage()), "route error: no flow has been registered for message type block"),
        (KaspadMessage(version=p2p.VersionMessage()), "route error: the route of version is closed"),
        (KaspadMessage(addresses=p2p.AddressesMessage()), "route error: the route of addresses is closed"),
        (
            KaspadMessage(ping=p2p.PingMessage(), response_id=7),
            "route error: no flow has been registered for message type ping",
        ),
    ],
)
async def test_an_unexpected_message_closes_the_connection_without_a_reject(
    message: KaspadMessage, reason: str
) -> None:
    async with pair() as both:
        await both.node.connect_peer(PEER)
        await anyio.sleep(1)
        both.node.broadcast(message)
        [session] = both.kaspad.sessions
        await session.closed.wait()
        assert session.reason == reason
        await anyio.sleep(1)
        assert both.node.peers() == []


async def test_its_reject_names_the_limit_that_ran_out() -> None:
    async with pair() as both:
        handler = ConnectionHandler(leaf=both.network.host("10.0.0.3"))

        async def say_nothing(stream: object) -> list[str]:
            names = []
            while (message := await stream.receive()) is not None:  # type: ignore[attr-defined]
                names.append(message.WhichOneof("payload"))
                if names[-1] == "reject":
                    names.append(message.reject.reason)
            await stream.aclose()  # type: ignore[attr-defined]
            return names

        started = anyio.current_time()
        names = await dial_and_run(handler, PEER, say_nothing)
        assert names == ["version", "reject", "timeout expired after 4s"]
        assert 4 <= anyio.current_time() - started < 8
