"""A TCP listener, and nodes behind it on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import anyio
import anyio.to_thread
import pytest

from ziggurat.node.adaptor import Adaptor
from ziggurat.node.address import NetAddress
from ziggurat.node.connection_handler import ConnectionHandler
from ziggurat.node.handshake.identity import NodeIdentity
from ziggurat.node.inbound.limits import InboundLimits
from ziggurat.node.inbound.listener import TcpListener
from ziggurat.services import ConnectError

pytestmark = [pytest.mark.asyncio_only, pytest.mark.real_io]

ANY = NetAddress.parse("127.0.0.1:0")


class RecordTransport(asyncio.Protocol):
    def __init__(self, seen: list[asyncio.BaseTransport]) -> None:
        self.seen = seen

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.seen.append(transport)


async def test_each_connection_gets_a_protocol_until_the_listener_closes() -> None:
    listener, seen = TcpListener(ANY), []
    address = await listener.start(lambda: RecordTransport(seen))
    assert address.port != 0
    async with await anyio.connect_tcp("127.0.0.1", address.port) as stream:
        while not seen:
            await anyio.lowlevel.checkpoint()
        await listener.aclose()
        with pytest.raises(OSError):  # noqa: PT011  (its type depends on the system)
            await anyio.connect_tcp("127.0.0.1", address.port)
        seen[0].write(b"still here")
        assert await stream.receive() == b"still here"
        seen[0].close()
        with pytest.raises(anyio.EndOfStream):
            await stream.receive()


async def test_a_port_in_use_is_an_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listener = TcpListener(NetAddress.parse(f"127.0.0.1:{taken.getsockname()[1]}"))
        with pytest.raises(OSError, match="in use"):
            await listener.start(asyncio.Protocol)
        await listener.aclose()


@pytest.mark.parametrize("rounds", range(6))
async def test_a_listener_that_closes_while_it_accepts_leaves_nothing_open(rounds: int) -> None:
    listener, seen = TcpListener(ANY), []
    address = await listener.start(lambda: RecordTransport(seen))
    dialled = [socket.create_connection(("127.0.0.1", address.port)) for _ in range(40)]
    try:
        for _ in range(rounds):
            await anyio.lowlevel.checkpoint()
        await listener.aclose()
        for transport in seen:  # those that were accepted are the server's
            transport.abort()
        with anyio.fail_after(10):
            for each in dialled:
                each.settimeout(5)
                with contextlib.suppress(ConnectionResetError):
                    assert await anyio.to_thread.run_sync(each.recv, 1) == b""
    finally:
        for each in dialled:
            each.close()


async def test_a_listener_whose_closing_is_cancelled_has_closed_its_port() -> None:
    listener = TcpListener(ANY)
    address = await listener.start(asyncio.Protocol)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await listener.aclose()
    again = TcpListener(address)
    assert await again.start(asyncio.Protocol) == address
    await again.aclose()


async def test_an_ipv6_listener_accepts_connections_and_knows_its_port() -> None:
    listener, seen = TcpListener(NetAddress.parse("[::1]:0")), []
    try:
        address = await listener.start(lambda: RecordTransport(seen))
    except OSError:
        pytest.skip("no IPv6 here")
    async with await anyio.connect_tcp("::1", address.port):
        while not seen:
            await anyio.lowlevel.checkpoint()
        seen[0].abort()
    await listener.aclose()
    assert str(address) == f"[::1]:{address.port}"


async def test_two_nodes_connect_on_loopback() -> None:
    with anyio.fail_after(20):
        a = Adaptor(ConnectionHandler(), NodeIdentity("kaspa-devnet"), listener=TcpListener(ANY))
        b = Adaptor(ConnectionHandler(), NodeIdentity("kaspa-devnet"))
        async with a, b:
            assert a.listening is not None
            with a.subscribe_events() as events:
                info = await b.connect_peer(a.listening)
                await anext(events)
            assert info.id == a.identity.id
            assert [peer.id for peer in a.peers()] == [b.identity.id]


def test_the_repr_shows_the_address() -> None:
    assert repr(TcpListener(ANY)) == "TcpListener(127.0.0.1:0)"


async def test_a_full_node_closes_new_connections_unread() -> None:
    with anyio.fail_after(20):
        limits = InboundLimits(peers=1)
        a = Adaptor(ConnectionHandler(), NodeIdentity("kaspa-devnet"), listener=TcpListener(ANY), limits=limits)
        b, c = (Adaptor(ConnectionHandler(), NodeIdentity("kaspa-devnet")) for _ in range(2))
        async with a, b, c:
            assert a.listening is not None
            with a.subscribe_events() as events:
                await b.connect_peer(a.listening)
                await anext(events)
            with pytest.raises(ConnectError) as caught:
                await c.connect_peer(a.listening)
            assert caught.value.transient
            assert caught.value.phase == "http2"
            assert len(a.peers()) == len(b.peers()) == 1


async def test_of_hundreds_of_dialers_at_once_as_many_get_in_as_fit_and_the_others_are_closed_at_once() -> None:
    limits = InboundLimits(peers=20, pending=12)
    a = Adaptor(ConnectionHandler(), NodeIdentity("kaspa-devnet"), listener=TcpListener(ANY), limits=limits)
    b = Adaptor(ConnectionHandler(), NodeIdentity("kaspa-devnet"))
    opened: list[socket.socket] = []
    with anyio.fail_after(60):
        async with a, b:
            assert a.listening is not None
            await b.connect_peer(a.listening)
            loop = asyncio.get_running_loop()
            try:
                for _ in range(300):
                    opened.append(socket.socket())
                    opened[-1].setblocking(False)
                await asyncio.gather(*(loop.sock_connect(one, ("127.0.0.1", a.listening.port)) for one in opened))
                # Admitted connections get SETTINGS, the others are closed.
                answers = await asyncio.gather(*(loop.sock_recv(one, 9) for one in opened), return_exceptions=True)
                let_in = sum(isinstance(answer, bytes) and len(answer) == 9 for answer in answers)
                assert let_in == limits.peers + limits.pending - 1
                assert [peer.id for peer in a.peers()] == [b.identity.id]
            finally:
                for one in opened:
                    one.close()
            while a._server is not None and a._server.counter.open > 1:  # noqa: ASYNC110
                await asyncio.sleep(0)
            c = Adaptor(ConnectionHandler(), NodeIdentity("kaspa-devnet"))
            async with c:
                await c.connect_peer(a.listening)
