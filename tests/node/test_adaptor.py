"""Nodes that dial each other, on an in-memory network and in virtual time."""

from __future__ import annotations

from contextlib import AsyncExitStack, suppress
from ipaddress import ip_address

import anyio
import pytest

from tests.node.lines import settle
from tests.node.nodes import NETWORK, PORT, at, node
from ziggurat.node.adaptor import Adaptor
from ziggurat.node.address import AddressNetwork, NamedAddress, NetAddress
from ziggurat.node.connection_handler import ConnectionHandler
from ziggurat.node.flows import FlowContext
from ziggurat.node.handshake.handshake import Rules
from ziggurat.node.handshake.identity import NodeIdentity
from ziggurat.node.handshake.rejection import HandshakeError, Kind
from ziggurat.node.inbound.ban import parse_ban
from ziggurat.node.inbound.bans import BanList
from ziggurat.node.inbound.limits import ConnectionCounter, InboundLimits
from ziggurat.node.inbound.server import PeerServer
from ziggurat.node.inbound.stream import InboundStream
from ziggurat.node.ip_network import parse_network
from ziggurat.node.peer.events import PeerConnected, PeerDisconnected, TransactionsAnnounced
from ziggurat.node.peer.info import PROXIED
from ziggurat.node.peer.router import Flow, Router
from ziggurat.node.testing import KaspaPeer, MemoryNetwork
from ziggurat.node.wire import p2p_pb2 as p2p
from ziggurat.node.wire.p2p_pb2 import KaspadMessage
from ziggurat.services import ConnectError, ConnectRefused, dial, phase

pytestmark = pytest.mark.asyncio_only

A, B = "10.0.0.1", "10.0.0.2"


async def test_two_nodes_connect_ping_and_disconnect() -> None:
    network = MemoryNetwork()
    async with node(network, A) as a, node(network, B) as b:
        with a.subscribe_events() as events:
            info = await a.connect_peer(at(B))
            await settle()
            assert (info.user_agent, info.direction, info.address, info.network) == (
                "/10.0.0.2/",
                "outbound",
                at(B),
                NETWORK,
            )
            [seen] = b.peers()
            assert (seen.id, seen.direction) == (a.identity.id, "inbound")
            await anyio.sleep(130)
            assert a.peers()[0].ping is not None
            assert b.peers()[0].ping is not None
            assert await b.terminate(seen.key, "that will do")
            await anyio.sleep(1)
            assert a.peers() == b.peers() == []
            assert not await b.terminate(seen.key, "again")
        received = [event async for event in events]
        assert [type(event) for event in received if isinstance(event, PeerConnected | PeerDisconnected)] == [
            PeerConnected,
            PeerDisconnected,
        ]


async def test_a_node_is_not_dialled_twice() -> None:
    network = MemoryNetwork()
    async with node(network, A) as a, node(network, B) as b:
        await a.connect_peer(at(B))
        with pytest.raises(HandshakeError) as caught:
            await a.connect_peer(at(B))
        assert caught.value.kind is Kind.DUPLICATE
        await anyio.sleep(5)
        assert len(a.peers()) == len(b.peers()) == 1


async def test_two_simultaneous_dials_from_kaspad_leave_one_connection() -> None:
    network, kaspad = MemoryNetwork(), KaspaPeer()
    async with node(network, A) as a, kaspad.run():
        leaf = network.host(B)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(kaspad.dial, at(A), leaf)
            tasks.start_soon(kaspad.dial, at(A), leaf)
        await anyio.sleep(5)
        assert len(a.peers()) == 1
        [stays] = [session for session in kaspad.sessions if not session.closed.is_set()]
        [refused] = [session for session in kaspad.sessions if session.closed.is_set()]
        assert stays.ready.is_set()
        assert "DUPLICATE_CONNECTION" in (refused.reason or "")


@pytest.mark.parametrize("_", range(3))
async def test_two_nodes_that_dial_each_other_at_once_keep_the_same_connection(_: int) -> None:
    network = MemoryNetwork()
    async with node(network, A) as a, node(network, B) as b:

        async def dial(one: Adaptor, ip: str) -> None:
            with suppress(HandshakeError):
                await one.connect_peer(at(ip))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(dial, a, B)
            tasks.start_soon(dial, b, A)
        await anyio.sleep(10)
        assert len(a.peers()) == len(b.peers()) == 1
        assert {a.peers()[0].direction, b.peers()[0].direction} == {"inbound", "outbound"}


async def test_a_node_that_dials_itself_is_refused() -> None:
    network = MemoryNetwork()
    async with node(network, A) as a:
        with pytest.raises(HandshakeError) as caught:
            await a.connect_peer(at(A))
        # Both ends are ours, and either may notice first.
        assert caught.value.kind in (Kind.SELF, Kind.DUPLICATE)
        assert a.peers() == []


async def test_a_peer_dialled_by_name_is_keyed_by_that_name() -> None:
    network = MemoryNetwork()
    network.names["peer.example"] = B
    async with node(network, A) as a, node(network, B):
        info = await a.connect_peer(NamedAddress("peer.example", 16611))
        assert info.key.host == "peer.example"
        router = a.hub.get(info.key)
        assert router is not None
        assert router.ledger is not None
        assert [entry.name for entry in router.ledger.phases if entry.name != "keepalive"] == [
            "dns",
            "tcp",
            "http2",
            "handshake",
        ]


async def test_inbound_peers_through_an_onion_service_share_the_proxied_host() -> None:
    network = MemoryNetwork()
    async with node(network, "127.0.0.1", proxied=True) as a, node(network, A) as one, node(network, B) as two:
        await one.connect_peer(at("127.0.0.1"))
        await two.connect_peer(at("127.0.0.1"))
        await settle()
        assert {peer.key.host for peer in a.peers()} == {PROXIED}
        assert {peer.via for peer in a.peers()} == {PROXIED}
        assert len(a.peers()) == 2


async def test_a_dead_address_is_a_connect_error() -> None:
    async with node(MemoryNetwork(), A) as a:
        with pytest.raises(ConnectRefused):
            await a.connect_peer(at(B))
        assert a.peers() == []


async def test_a_peer_that_dies_is_removed() -> None:
    network = MemoryNetwork()
    async with node(network, A) as a, node(network, B) as b:
        host = b.connection_handler.leaf
        await a.connect_peer(at(B))
        network.listening[at(B)]._host.die()
        await anyio.sleep(5)
        assert a.peers() == b.peers() == []
        assert host is not None


async def test_a_node_that_stops_closes_all_connections() -> None:
    network, kaspad, another = MemoryNetwork(), KaspaPeer(), KaspaPeer()
    async with kaspad.run(), another.run(), kaspad.listen(network.host(B).listener(16611)):
        async with node(network, A) as a:
            await a.connect_peer(at(B))
            inbound = await another.dial(at(A), network.host("10.0.0.3"))
            await anyio.sleep(1)
            started = anyio.current_time()
        assert anyio.current_time() - started < 5
        await anyio.sleep(1)
        assert [session.reason for session in (*kaspad.sessions, inbound)] == ["incoming stream ended"] * 2
        assert inbound.closed.is_set()
        assert network.listening.keys() == {at(B)}


async def test_inbound_peers_above_the_limit_are_refused() -> None:
    network = MemoryNetwork()
    async with node(network, A, limits=InboundLimits(peers=2)) as a:
        refused = 0
        async with AsyncExitStack() as stack:
            for number in range(4):
                other = await stack.enter_async_context(node(network, f"10.0.2.{number}", listens=False))
                try:
                    await other.connect_peer(at(A))
                except OSError:
                    refused += 1
            assert refused == 2
            assert len(a.peers()) == 2
            await a.terminate(a.peers()[0].key, "room for another")
            await anyio.sleep(2)
            await other.connect_peer(at(A))
        assert len(network.dials) == 5


async def test_the_inbound_limit_holds_for_simultaneous_dials() -> None:
    network = MemoryNetwork()
    async with node(network, A, limits=InboundLimits(peers=3)) as a, AsyncExitStack() as stack:
        others = [
            await stack.enter_async_context(node(network, f"10.0.2.{number}", listens=False)) for number in range(20)
        ]

        async def dial(other: Adaptor) -> None:
            with suppress(OSError):
                await other.connect_peer(at(A))

        async with anyio.create_task_group() as tasks:
            for other in others:
                tasks.start_soon(dial, other)
        await anyio.sleep(5)
        assert len(a.peers()) == 3
        assert sum(len(other.peers()) for other in others) == 3


async def test_a_users_flow_subscribes_and_sends() -> None:
    network = MemoryNetwork()
    got: list[p2p.BlockMessage] = []

    class Fetch:
        def __init__(self, router: Router) -> None:
            self.router = router
            self.answers = router.subscribe()

        async def run(self) -> None:
            wanted = p2p.RequestRelayBlocksMessage(hashes=[p2p.Hash(bytes=bytes(32))])
            await self.router.send(KaspadMessage(requestRelayBlocks=wanted, request_id=self.answers.id))
            got.append((await self.answers.receive(10.0)).block)

    class Serve:
        def __init__(self, router: Router) -> None:
            self.router = router
            self.asked = router.subscribe("requestRelayBlocks")

        async def run(self) -> None:
            async for request in self.asked:
                block = p2p.BlockMessage(header=p2p.BlockHeader(nonce=7))
                await self.router.answer(request, KaspadMessage(block=block))

    async with node(network, A, flows=[Fetch]) as a, node(network, B, flows=[Serve]):
        await a.connect_peer(at(B))
        await anyio.sleep(1)
    assert [block.header.nonce for block in got] == [7]


async def test_a_bug_in_a_users_flow_affects_that_peer_only(caplog: pytest.LogCaptureFixture) -> None:
    network = MemoryNetwork()

    def broken(router: Router) -> Router:
        if str(router.address.uri().host) == B:
            raise KeyError("a defect")
        return Quiet()  # type: ignore[return-value]

    class Quiet:
        async def run(self) -> None:
            pass

    async with node(network, A, flows=[broken]) as a, node(network, B) as b, node(network, "10.0.0.3") as c:
        await c.connect_peer(at(A))
        with pytest.raises(HandshakeError):
            await b.connect_peer(at(A))
        with pytest.raises(KeyError):
            await a.connect_peer(at(B))
        await anyio.sleep(5)
        assert [peer.id for peer in a.peers()] == [c.identity.id]
    assert "flow.failed" in caplog.text


async def test_a_message_that_cannot_be_serialized_affects_that_peer_only() -> None:
    network = MemoryNetwork()
    async with node(network, A) as a, node(network, B), node(network, "10.0.0.3"):
        info = await a.connect_peer(at(B))
        await a.connect_peer(at("10.0.0.3"))
        router = a.hub.get(info.key)
        assert router is not None
        await router.send("no message")  # type: ignore[arg-type]
        await anyio.sleep(5)
        assert [str(peer.address) for peer in a.peers()] == [str(at("10.0.0.3"))]


async def test_a_broadcast_announcement_becomes_an_event_at_the_peer() -> None:
    network = MemoryNetwork()
    async with node(network, A) as a, node(network, B) as b:
        await a.connect_peer(at(B))
        await settle()
        with b.subscribe_events() as events:
            ids = [p2p.TransactionId(bytes=bytes([number]) * 32) for number in range(3)]
            message = KaspadMessage(invTransactions=p2p.InvTransactionsMessage(ids=ids))
            assert a.broadcast(message) == 1
            await settle()
        announced = [event async for event in events if isinstance(event, TransactionsAnnounced)]
        assert [event.ids for event in announced] == [tuple(id.bytes for id in ids)]


class Book:
    def __init__(self, *known: NetAddress) -> None:
        self.known = known
        self.learned: list[NetAddress] = []

    async def sample(self, count: int) -> tuple[NetAddress, ...]:
        return self.known

    async def learn(self, addresses: object) -> None:
        self.learned += addresses  # type: ignore[arg-type]


async def test_addresses_are_exchanged_both_ways_and_in_the_version() -> None:
    network = MemoryNetwork()
    own, theirs = at("10.9.9.1"), at("10.9.9.2")
    book_a, book_b = Book(at("10.1.1.1")), Book(at("10.2.2.2"))
    identity = NodeIdentity(NETWORK, address=own)
    async with (
        node(network, A, context=FlowContext(book_a), identity=identity) as a,
        node(network, B, context=FlowContext(book_b), identity=NodeIdentity(NETWORK, address=theirs)),
    ):
        await a.connect_peer(at(B))
        await anyio.sleep(1)
    assert book_a.learned == [theirs, at("10.2.2.2")]
    assert book_b.learned == [own, at("10.1.1.1")]


async def test_a_refusal_by_a_rule_reaches_the_peer() -> None:
    network = MemoryNetwork()
    rules = Rules(refuses_user_agent=lambda agent: agent == "/10.0.0.1/")
    async with node(network, A) as a, node(network, B, rules=rules) as b:
        with pytest.raises(HandshakeError) as caught:
            await a.connect_peer(at(B))
        assert caught.value.by_peer
        assert caught.value.reason == "peer user agent rejected: /10.0.0.1/"
        assert b.peers() == []


async def test_a_cancelled_dial_leaves_nothing_behind() -> None:
    network, kaspad = MemoryNetwork(), KaspaPeer()
    scope = anyio.CancelScope()

    def give_up(agent: str) -> bool:
        scope.cancel()
        return False

    rules = Rules(refuses_user_agent=give_up)  # called in the middle of the handshake
    async with node(network, A, rules=rules) as a, kaspad.run(), kaspad.listen(network.host(B).listener(16611)):
        with scope:
            await a.connect_peer(at(B))
        assert scope.cancelled_caught
        await anyio.sleep(5)
        assert a.peers() == []
        assert all(session.closed.is_set() for session in kaspad.sessions)
        await a.connect_peer(at(B))  # and no reservation is left


def refusing(kind: Kind) -> Rules:
    """Return rules that refuse each peer with this kind of error."""

    def refuse(id: bytes) -> bool:
        raise HandshakeError(kind, "why", by_peer=False)

    return Rules(is_banned=refuse)


@pytest.mark.parametrize(
    ("kind", "dials"), [(Kind.NETWORK, 1), (Kind.DUPLICATE, 1), (Kind.REJECTED, 1), (Kind.TIMEOUT, 3), (Kind.BUSY, 3)]
)
async def test_refusals_are_not_retried_but_other_handshake_failures_are(kind: Kind, dials: int) -> None:
    network = MemoryNetwork()
    async with node(network, A, rules=refusing(kind)) as a, node(network, B):
        with pytest.raises(HandshakeError):
            await a.connect_peer(at(B), attempts=3)
    assert len(network.dials) == dials


async def test_attempts_are_made_at_intervals_and_the_last_error_is_raised() -> None:
    network = MemoryNetwork()
    async with node(network, A) as a:
        started = anyio.current_time()
        with pytest.raises(ConnectRefused):
            await a.connect_peer(at(B), attempts=3, interval=5.0)
        assert anyio.current_time() - started == pytest.approx(10, abs=0.1)
    assert len(network.dials) == 3


async def test_a_later_attempt_may_succeed() -> None:
    network = MemoryNetwork()
    async with node(network, A) as a, anyio.create_task_group() as tasks:

        async def appear() -> None:
            await anyio.sleep(7)
            async with node(network, B):
                await anyio.sleep(10)

        tasks.start_soon(appear)
        assert (await a.connect_peer(at(B), attempts=3, interval=5.0)).address == at(B)
    assert len(network.dials) == 3


async def test_attempts_must_be_positive() -> None:
    async with node(MemoryNetwork(), A) as a:
        with pytest.raises(ValueError, match="attempts must be a whole number"):
            await a.connect_peer(at(B), attempts=0)


async def test_the_callers_open_dial_is_joined_and_includes_the_handshake() -> None:
    network = MemoryNetwork()
    async with node(network, A) as a, node(network, B):
        with dial(at(B).uri()) as current, phase("mine"):
            info = await a.connect_peer(at(B))
        names = [entry.name for entry in current.ledger.phases if entry.name != "keepalive"]
        assert names == ["mine", "tcp", "http2", "handshake"]
        router = a.hub.get(info.key)
        assert router is not None
        assert router.ledger is current.ledger


async def test_stopping_the_node_ends_a_running_handshake() -> None:
    network, errors = MemoryNetwork(), []

    def serve(stream: InboundStream) -> None:
        pass  # open the stream, but send nothing

    async def connect(adaptor: Adaptor) -> None:
        try:
            await adaptor.connect_peer(at(B))
        except HandshakeError as error:
            errors.append((error.kind, error.reason))

    counter = ConnectionCounter(InboundLimits(), lambda: False)
    mute = PeerServer(network.host(B).listener(16611), counter, serve, max_message_size=1000)
    await mute.start()
    async with anyio.create_task_group() as tasks:
        async with node(network, A) as a:
            tasks.start_soon(connect, a)
            await anyio.sleep(1)
            started = anyio.current_time()
        assert anyio.current_time() - started < 5
    assert errors == [(Kind.CLOSED, "we are stopping")]
    await mute.aclose()


async def test_connecting_requires_a_running_adaptor() -> None:
    adaptor = Adaptor(ConnectionHandler(leaf=MemoryNetwork().host(A)), NodeIdentity(NETWORK))
    with pytest.raises(RuntimeError, match="not running"):
        await adaptor.connect_peer(at(B))


async def test_an_address_in_use_fails_the_start() -> None:
    network = MemoryNetwork()
    async with node(network, A):
        with pytest.raises(OSError, match="address in use"):
            await node(network, A).__aenter__()


# --- bans -------------------------------------------------------------------------------------------------------------


async def test_a_ban_drops_the_connected_peers_that_it_affects_and_no_others() -> None:
    network, bans = MemoryNetwork(), BanList()
    async with node(network, A, bans=bans) as a, node(network, B) as b, node(network, "10.0.0.3") as c:
        await a.connect_peer(at(B))
        await c.connect_peer(at(A))
        await settle()
        with a.subscribe_events() as events:
            await bans.ban("10.0.0.3")
            assert [peer.address for peer in a.peers()] == [at(B)]
            await bans.ban("agent:/10.0.0.2/")
            assert a.peers() == []
            await anyio.sleep(1)
            assert b.peers() == c.peers() == []
        reasons = [event.reason async for event in events if isinstance(event, PeerDisconnected)]
    assert reasons == ["10.0.0.3 is banned", "agent:/10.0.0.2/ is banned"]


async def test_a_banned_address_is_not_dialled() -> None:
    network, bans = MemoryNetwork(), BanList()
    async with node(network, A, bans=bans) as a, node(network, B):
        await bans.ban("10.0.0.0/24")
        with pytest.raises(ConnectError, match=r"10\.0\.0\.0/24 is banned"):
            await a.connect_peer(at(B), attempts=3)
        assert network.dials == []
        await bans.unban("10.0.0.0/24")
        await a.connect_peer(at(B))


@pytest.mark.parametrize("dials", [False, True])
async def test_a_banned_user_agent_is_refused_in_the_handshake_whoever_dials(dials: bool) -> None:
    network, bans = MemoryNetwork(), BanList()
    await bans.ban("agent:*0.0.2*")
    async with node(network, A, bans=bans) as a, node(network, B) as b:
        with pytest.raises(HandshakeError) as caught:
            await (a.connect_peer(at(B)) if dials else b.connect_peer(at(A)))
        assert (caught.value.kind, caught.value.by_peer) == (Kind.USER_AGENT, not dials)
        assert caught.value.reason == "peer user agent rejected: /10.0.0.2/"
        await anyio.sleep(2)
        assert a.peers() == b.peers() == []


class NoFlow:
    async def run(self) -> None:
        pass


@pytest.mark.parametrize("what", ["10.0.0.2", "agent:*0.0.2*"])
async def test_a_ban_reaches_a_peer_that_is_in_its_handshake(what: str) -> None:
    """After its Version was accepted, when the flows are made, and before it is a peer."""
    network, bans = MemoryNetwork(), BanList()
    async with anyio.create_task_group() as tasks:

        def ban(router: Router) -> Flow:
            tasks.start_soon(bans.ban, what)
            return NoFlow()

        async with node(network, A, bans=bans, flows=[ban]) as a, node(network, B) as b:
            with suppress(HandshakeError):
                await b.connect_peer(at(A))
            await anyio.sleep(2)
            assert bans.of_address(at(B)) or bans.of_user_agent("/10.0.0.2/", at(B))
            assert a.peers() == b.peers() == []


async def test_peers_behind_a_proxy_are_not_judged_by_the_proxys_address() -> None:
    network, bans = MemoryNetwork(), BanList([parse_ban("10.0.0.0/24")])
    async with node(network, A, proxied=True, bans=bans) as a, node(network, B) as b:
        await b.connect_peer(at(A))
        await settle()
        assert [peer.via for peer in a.peers()] == [PROXIED]


async def test_a_peer_of_an_onion_service_sees_another_id_than_one_that_knows_the_ip() -> None:
    """Both dial one node, which tells them apart by where they come in."""
    network, both = MemoryNetwork(), MemoryNetwork()
    identity = NodeIdentity(NETWORK)
    hidden = Adaptor(
        ConnectionHandler(leaf=network.host(A)),
        identity,
        listener=network.host(A).listener(PORT),
        inbound_proxies=[parse_network("0.0.0.0/0")],
        proxied_network=AddressNetwork.ONION,
    )
    open_ = Adaptor(ConnectionHandler(leaf=both.host(A)), identity, listener=both.host(A).listener(PORT))
    async with hidden, open_, node(network, B) as by_onion, node(both, B) as by_ip:
        seen = [(await dialer.connect_peer(at(A))).id for dialer in (by_onion, by_ip)]
        await settle()
        assert [[str(peer.address_network) for peer in each.peers()] for each in (hidden, open_)] == [
            ["onion"],
            ["ipv4"],
        ]
        keys = [peer.key.network for peer in hidden.peers()]
    assert keys == [AddressNetwork.ONION]
    assert seen == [identity.of_network(AddressNetwork.ONION).id, identity.id]
    assert len(set(seen)) == 2


async def test_a_connection_to_ourselves_is_noticed_in_every_network() -> None:
    for ip in (A, "2001:db8::1"):
        network = MemoryNetwork()
        async with node(network, ip) as a:
            with pytest.raises(HandshakeError) as caught:
                await a.connect_peer(NetAddress(ip_address(ip), PORT))
            assert caught.value.kind is Kind.SELF
