"""Inbound connections: slow and silent peers, storms, other protocols, broken streams."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import anyio
import pytest
from grpclib.client import Stream
from grpclib.const import Cardinality, Status
from grpclib.exceptions import GRPCError
from structlog.testing import capture_logs

from tests.node.lines import settle
from tests.node.nodes import NETWORK, at, dial_and_run, node, send_raw
from ziggurat.layers.testing.memory import MemoryStream
from ziggurat.node.adaptor import Adaptor
from ziggurat.node.address import NetAddress
from ziggurat.node.connection_handler import ConnectionHandler
from ziggurat.node.handshake.handshake import OUTBOUND_LIMITS, Handshake
from ziggurat.node.handshake.identity import NodeIdentity
from ziggurat.node.handshake.rejection import HandshakeError, Kind
from ziggurat.node.inbound.ban import parse_ban
from ziggurat.node.inbound.bans import BanList
from ziggurat.node.outbound.stream import OutboundStream
from ziggurat.node.testing import KaspaPeer, MemoryNetwork
from ziggurat.node.wire import p2p_pb2 as p2p
from ziggurat.node.wire.p2p_pb2 import KaspadMessage
from ziggurat.node.wire.stream import MESSAGE_STREAM, StreamLost
from ziggurat.services import Uri

pytestmark = pytest.mark.asyncio_only

A = "10.0.0.1"
URI = Uri.parse(f"http://{A}:16611")
VERACK, READY = KaspadMessage(verack=p2p.VerackMessage()), KaspadMessage(ready=p2p.ReadyMessage())


def hello() -> KaspadMessage:
    return Handshake(NodeIdentity(NETWORK).version(), OUTBOUND_LIMITS).begin(0.0)[0]


def dialler(network: MemoryNetwork, ip: str) -> ConnectionHandler:
    return ConnectionHandler(leaf=network.host(ip))


async def read_all(stream: OutboundStream) -> list[str]:
    """Read to the clean end of the stream; return the payload names, and the reasons of Rejects."""
    names = []
    while (message := await stream.receive()) is not None:
        name = message.WhichOneof("payload")
        names.append(message.reject.reason if name == "reject" else str(name))
    await stream.aclose()
    return names


def sending(*messages: KaspadMessage) -> Callable[[OutboundStream], Awaitable[list[str]]]:
    async def talk(stream: OutboundStream) -> list[str]:
        for message in messages:
            await stream.send(message)
        return await read_all(stream)

    return talk


async def test_headers_and_our_version_come_before_the_peer_sends_anything() -> None:
    network = MemoryNetwork()
    async with node(network, A):
        started = anyio.current_time()
        assert await dial_and_run(dialler(network, "10.0.0.2"), at(A), sending()) == [
            "version",
            "timeout expired after 10s",
        ]
        assert anyio.current_time() - started == pytest.approx(10, abs=2)


@pytest.mark.parametrize(
    ("messages", "reason", "seconds"),
    [([hello()], "timeout expired after 4s", 4), ([hello(), VERACK], "timeout expired after 8s", 8)],
)
async def test_a_slow_peer_gets_a_reject_that_names_the_limit(
    messages: list[KaspadMessage], reason: str, seconds: float
) -> None:
    network = MemoryNetwork()
    async with node(network, A):
        started = anyio.current_time()
        answer = await dial_and_run(dialler(network, "10.0.0.2"), at(A), sending(*messages))
        assert answer[-1] == reason
        assert anyio.current_time() - started == pytest.approx(seconds, abs=2)


async def seconds_until_closed(stream: MemoryStream) -> float:
    """Read until the connection is closed; return how many seconds that took."""
    started = anyio.current_time()
    with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):  # noqa: PT012
        while True:
            await stream.receive()
    await stream.aclose()
    return anyio.current_time() - started


@pytest.mark.parametrize("said", [b"", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", b"PRI * HT"])
async def test_a_connection_without_a_request_is_closed(said: bytes) -> None:
    network = MemoryNetwork()
    async with node(network, A):
        stream = await network.host("10.0.0.2")(URI)
        await stream.send(said or b"P")
        assert await seconds_until_closed(stream) == pytest.approx(10, abs=0.5)  # type: ignore[arg-type]


async def test_another_protocol_is_closed_at_once() -> None:
    network = MemoryNetwork()
    async with node(network, A):
        stream = await network.host("10.0.0.2")(URI)
        await stream.send(b"GET / HTTP/1.1\r\nHost: node\r\n\r\n")
        assert await seconds_until_closed(stream) < 3  # type: ignore[arg-type]


async def test_stalled_handshakes_do_not_hold_up_others() -> None:
    network = MemoryNetwork()
    async with node(network, A) as a, anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(dial_and_run, dialler(network, f"10.0.1.{number}"), at(A), sending())
        await anyio.sleep(1)
        async with node(network, "10.0.0.2", listens=False) as b:
            started = anyio.current_time()
            await b.connect_peer(at(A))
            assert anyio.current_time() - started < 0.1
            await settle()
            assert len(a.peers()) == 1


async def test_the_third_handshake_from_one_address_is_refused_as_busy() -> None:
    network = MemoryNetwork()
    async with node(network, A), anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(dial_and_run, dialler(network, "10.0.0.2"), at(A), sending())
        await anyio.sleep(1)
        with pytest.raises(HandshakeError) as caught:
            await dial_and_run(dialler(network, "10.0.0.2"), at(A), sending())
        assert caught.value.kind is Kind.BUSY
        assert "too many pending inbound handshakes" in caught.value.reason
        await anyio.sleep(20)
        await dial_and_run(dialler(network, "10.0.0.2"), at(A), sending())  # the first two have ended


async def test_a_thousand_connections_at_once_disturb_no_peer(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    network = MemoryNetwork()
    async with node(network, A) as a, node(network, "10.0.0.2", listens=False) as b:
        await b.connect_peer(at(A))
        most = 0
        assert a._server is not None
        async with AsyncExitStack() as stack:
            for number in range(1000):
                stream = await network.host(f"10.1.{number // 250}.{number % 250 + 1}")(URI)
                stack.push_async_callback(stream.aclose)
                most = max(most, a._server.counter.open)
            assert most <= 128 + 32
            await anyio.sleep(60)
            assert a._server.counter.open == 1
        assert len(a.peers()) == len(b.peers()) == 1
        assert b.peers()[0].id == a.identity.id
    refused = [line for line in caplog.messages if "peer.refused" in line]
    assert 1 <= len(refused) < 10


async def test_a_connection_has_only_one_stream() -> None:
    network = MemoryNetwork()
    async with node(network, A), dialler(network, "10.0.0.2").channel(URI) as channel:
        first = channel.request(MESSAGE_STREAM, Cardinality.STREAM_STREAM, KaspadMessage, KaspadMessage)
        second = channel.request(MESSAGE_STREAM, Cardinality.STREAM_STREAM, KaspadMessage, KaspadMessage)
        async with first:
            await first.send_request()
            assert await first.recv_message() is not None
            with pytest.raises(GRPCError, match="only one stream per connection") as caught:
                await make_call(second)
            assert caught.value.status is Status.RESOURCE_EXHAUSTED
            assert (await first.recv_message()) is not None  # the Reject, after ten seconds
            await first.cancel()


async def test_a_call_to_another_method_does_not_extend_the_time_limit() -> None:
    network = MemoryNetwork()
    async with node(network, A), dialler(network, "10.0.0.2").channel(URI) as channel:
        call = channel.request("/protowire.RPC/X", Cardinality.UNARY_UNARY, KaspadMessage, KaspadMessage)
        with pytest.raises(GRPCError):
            await make_call(call)
        await anyio.sleep(11)
        assert channel.state.value == "idle"


async def test_the_connection_ends_after_its_stream() -> None:
    network = MemoryNetwork()
    async with node(network, A), dialler(network, "10.0.0.2").channel(URI) as channel:
        call = channel.request(MESSAGE_STREAM, Cardinality.STREAM_STREAM, KaspadMessage, KaspadMessage)
        async with call:
            await call.send_message(KaspadMessage(), end=True)  # no payload: closed without a Reject
            names = [message.WhichOneof("payload") async for message in call]
        assert names == ["version"]
        assert channel.state.value == "ready"
        await anyio.sleep(2)
        assert channel.state.value == "idle"


async def test_every_stream_ends_when_the_server_closes() -> None:
    network, kaspad = MemoryNetwork(), KaspaPeer()
    endings: list[list[str]] = []
    async with kaspad.run(), anyio.create_task_group() as tasks:
        async with node(network, A):
            session = await kaspad.dial(at(A), network.host("10.0.0.2"))
            await session.ready.wait()

            async def shake() -> None:
                endings.append(await dial_and_run(dialler(network, "10.0.0.3"), at(A), sending(hello())))

            tasks.start_soon(shake)
            silent = await network.host("10.0.0.4")(URI)
            await anyio.sleep(1)
            started = anyio.current_time()
        assert anyio.current_time() - started < 5
        await seconds_until_closed(silent)  # type: ignore[arg-type]
        await session.closed.wait()
        assert session.reason == "incoming stream ended"  # not a network error
    assert endings == [["version", "verack"]]


async def test_a_reject_is_read_although_the_peer_then_resets_the_stream(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    network = MemoryNetwork()

    async def reject(stream: OutboundStream) -> None:
        await stream.send(hello())
        await stream.send(KaspadMessage(reject=p2p.RejectMessage(reason="peer is banned")))
        await stream._call.cancel()
        await anyio.sleep(1)
        await stream.aclose()

    async with node(network, A):
        await dial_and_run(dialler(network, "10.0.0.2"), at(A), reject)
        await anyio.sleep(1)
    assert any("peer.refused" in line and "peer is banned" in line for line in caplog.messages)
    assert not any("Server error" in line or "Application error" in line for line in caplog.messages)


async def make_call(call: Stream[KaspadMessage, KaspadMessage]) -> None:
    async with call:
        await call.send_message(KaspadMessage(), end=True)
        await call.recv_message()


async def ends_lost(stream: OutboundStream) -> bool:
    """Read to the end of the stream; return whether it was lost."""
    try:
        while await stream.receive() is not None:
            pass
    except StreamLost:
        return True
    finally:
        await stream.aclose()
    return False


async def complete_handshake(a: Adaptor, stream: OutboundStream) -> None:
    """Complete the handshake by hand."""
    for message in (hello(), VERACK, READY):
        await stream.send(message)
    while not a.peers():  # noqa: ASYNC110
        await anyio.sleep(0.1)  # virtual time


@pytest.mark.parametrize("compression", [None, "gzip"])
async def test_a_message_beyond_the_limit_closes_the_connection_only(compression: str | None) -> None:
    network, kaspad = MemoryNetwork(), KaspaPeer()
    async with node(network, A, max_message_size=100_000) as a, kaspad.run():
        big = KaspadMessage(reject=p2p.RejectMessage(reason="x" * 200_000))  # compressed: a bomb
        if compression:
            session = await kaspad.dial(at(A), network.host("10.0.0.2"))
            await session.ready.wait()
            await session.send(big)
            await session.closed.wait()
        else:

            async def shout(stream: OutboundStream) -> None:
                await complete_handshake(a, stream)
                await stream.send(big)
                await ends_lost(stream)

            await dial_and_run(dialler(network, "10.0.0.2"), at(A), shout)
        await anyio.sleep(3)
        assert a.peers() == []
        async with node(network, "10.0.0.3") as another:
            await another.connect_peer(at(A))


async def test_a_truncated_message_disconnects_the_peer(caplog: pytest.LogCaptureFixture) -> None:
    network = MemoryNetwork()
    async with node(network, A) as a:

        async def stop_in_the_middle(stream: OutboundStream) -> None:
            await complete_handshake(a, stream)
            await send_raw(stream._call, b"\0\0\0\0\x64half", end=True)
            await ends_lost(stream)

        with a.subscribe_events() as events:
            await dial_and_run(dialler(network, "10.0.0.2"), at(A), stop_in_the_middle)
            await anyio.sleep(3)
        assert a.peers() == []
        assert len([event async for event in events]) >= 2
    assert not any("Server error" in line or "Application error" in line for line in caplog.messages)


async def test_a_lost_connection_removes_the_peer() -> None:
    network = MemoryNetwork()
    async with node(network, A) as a:
        host = network.host("10.0.0.2")

        async def vanish(stream: OutboundStream) -> None:
            await complete_handshake(a, stream)
            host.die()
            assert await ends_lost(stream)

        await dial_and_run(ConnectionHandler(leaf=host), at(A), vanish)
        await anyio.sleep(2)
        assert a.peers() == []
        assert a._server is not None
        assert a._server.counter.open == 0


async def test_a_connection_from_a_banned_address_is_closed_unread_with_one_line() -> None:
    network = MemoryNetwork()
    bans = BanList([parse_ban("10.0.0.0/30")])
    with capture_logs() as logs:
        async with node(network, A, bans=bans) as a, node(network, "10.0.0.8") as other:
            for _ in range(20):
                stream = await network.host("10.0.0.2")(URI)
                assert await seconds_until_closed(stream) == 0  # type: ignore[arg-type]
            assert a._server is not None
            assert a._server.counter.open == 0
            await other.connect_peer(at(A))
            await anyio.sleep(2)
    refused = [
        (log["peer"].partition(":")[0], log["reason"], log["more"]) for log in logs if log["event"] == "peer.refused"
    ]
    assert refused == [("10.0.0.2", "10.0.0.0/30 is banned", None), ("10.0.0.2", "10.0.0.0/30 is banned", 18)]


async def test_who_comes_in_by_the_onion_service_is_known_by_the_door() -> None:
    """Its address is that of Tor: nothing is concluded from it, and no ban of it holds."""
    network = MemoryNetwork()
    host = network.host(A)
    async with (
        Adaptor(
            ConnectionHandler(leaf=host),
            NodeIdentity(NETWORK),
            listener=host.listener(16611),
            onion_listener=host.listener(16612),
            bans=BanList([parse_ban("10.0.0.2")]),
        ) as adaptor,
        node(network, "10.0.0.2", listens=False) as one,
        node(network, "10.0.0.3", listens=False) as two,
    ):
        await one.connect_peer(NetAddress.parse(f"{A}:16612"))
        await two.connect_peer(NetAddress.parse(f"{A}:16611"))
        await settle()

        assert {str(peer.address).partition(":")[0]: peer.via for peer in adaptor.peers()} == {
            "10.0.0.2": "onion",
            "10.0.0.3": None,
        }
    assert network.listening == {}


async def test_a_node_may_be_reached_by_its_onion_service_alone() -> None:
    network = MemoryNetwork()
    host = network.host(A)
    async with Adaptor(ConnectionHandler(leaf=host), NodeIdentity(NETWORK), onion_listener=host.listener(16612)) as us:
        assert us.listening is None
        async with node(network, "10.0.0.2", listens=False) as peer:
            await peer.connect_peer(NetAddress.parse(f"{A}:16612"))
            await settle()

            assert [each.via for each in us.peers()] == ["onion"]
