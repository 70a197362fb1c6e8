"""Hostile peers, inbound and outbound: each costs only its own connection and a bounded amount of memory.

After each attack the good peer is still connected and its pings pass, a new peer can connect, and one log line names
the dropped peer and the reason.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio
import pytest

from tests.node.hostile import (
    BAD,
    FLOOD_BOUND,
    HANDSHAKE_BOUND,
    HELD_BOUND,
    MIB,
    NODE,
    PEER_BOUND,
    READY,
    STORM_BOUND,
    VERACK,
    Direction,
    HostilePeer,
    peak,
    version,
    world,
)
from tests.node.nodes import PORT, at, dial_and_run
from ziggurat.node.connection_handler import MAX_MESSAGE_SIZE, ConnectionHandler
from ziggurat.node.flows.ping import PING_INTERVAL, PONG_TIMEOUT
from ziggurat.node.inbound.limits import InboundLimits
from ziggurat.node.outbound.stream import OutboundStream
from ziggurat.node.peer.router import MAX_QUEUED_BYTES, SEND_TIMEOUT
from ziggurat.node.wire import p2p_pb2 as p2p
from ziggurat.node.wire.p2p_pb2 import KaspadMessage
from ziggurat.node.wire.stream import StreamLost
from ziggurat.services import ConnectError

pytestmark = [pytest.mark.slow, pytest.mark.asyncio_only]

ONE_MIB = bytes(MIB)

DIRECTIONS: tuple[Direction, ...] = ("inbound", "outbound")


def ping(nonce: int) -> KaspadMessage:
    return KaspadMessage(ping=p2p.PingMessage(nonce=nonce))


def invs(count: int) -> KaspadMessage:
    ids = [p2p.TransactionId(bytes=number.to_bytes(32, "big")) for number in range(count)]
    return KaspadMessage(invTransactions=p2p.InvTransactionsMessage(ids=ids))


def addresses(count: int) -> KaspadMessage:
    entries = [p2p.NetAddress(ip=(0x0B000000 + number).to_bytes(4, "big"), port=16611) for number in range(count)]
    return KaspadMessage(addresses=p2p.AddressesMessage(addressList=entries))


def prefixed(body: bytes, *, length: int | None = None, flag: int = 0) -> bytes:
    return bytes([flag]) + (len(body) if length is None else length).to_bytes(4, "big") + body


def bomb(size: int) -> bytes:
    """Return a gzip member that inflates to ``size`` zeros; it repeats one deflated MiB."""
    packer = zlib.compressobj(9, wbits=31)
    head = packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + again * (size // MIB - 1)


async def oversized_prefix(bad: HostilePeer) -> None:
    await bad.complete_handshake()
    await bad.send_raw(prefixed(bytes(MIB), length=0xFFFFFFFF))


async def just_too_large(bad: HostilePeer) -> None:
    await bad.complete_handshake()
    await bad.send_raw(prefixed(bytes(MIB), length=MAX_MESSAGE_SIZE + 1))


async def oversized_prefix_at_once(bad: HostilePeer) -> None:
    await bad.send_raw(prefixed(bytes(MIB), length=0xFFFFFFFF))


async def large_at_once(bad: HostilePeer) -> None:
    """The largest message that a peer may send, but from one that is not yet a peer."""
    await bad.send_raw(prefixed(b"", length=MAX_MESSAGE_SIZE))
    for _ in range(MAX_MESSAGE_SIZE // MIB):
        await bad.send_raw(ONE_MIB)


async def large_instead_of_ready(bad: HostilePeer) -> None:
    await bad.send(version(), VERACK)
    await large_at_once(bad)


async def gzip_bomb(bad: HostilePeer) -> None:
    await bad.complete_handshake()
    await bad.send_raw(prefixed(bomb(1024 * MIB), flag=1))


async def gzip_bomb_at_once(bad: HostilePeer) -> None:
    await bad.send_raw(prefixed(bomb(8 * MIB), flag=1))


def packed(data: bytes) -> bytes:
    return zlib.compress(data, 1, wbits=31)


def of_empty_entries(name: str, tag: int, count: int, id: int = 0) -> bytes:
    """Return a message whose entries take two bytes each on the wire, and some forty or more in memory."""
    field = KaspadMessage.DESCRIPTOR.fields_by_name[name].number
    answer = KaspadMessage(response_id=id).SerializeToString()
    return answer + varint(field << 3 | 2) + varint(2 * count) + bytes([tag, 0]) * count


async def entries_bomb(bad: HostilePeer) -> None:
    await bad.complete_handshake()
    await bad.send_raw(prefixed(of_empty_entries("block", 0x12, 7 * MIB)))


async def entries_bomb_of_a_type_that_is_read(bad: HostilePeer) -> None:
    await bad.complete_handshake()
    await bad.send_raw(prefixed(zlib.compress(of_empty_entries("requestRelayBlocks", 0x0A, 7 * MIB), wbits=31), flag=1))


async def entries_bomb_of_ids(bad: HostilePeer) -> None:
    await bad.complete_handshake()
    await bad.send_raw(prefixed(of_empty_entries("requestTransactions", 0x0A, 4 * MIB - 100)))


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


async def no_gzip(bad: HostilePeer) -> None:
    await bad.complete_handshake()
    await bad.send_raw(prefixed(b"not gzip", flag=1))


async def half_a_message(bad: HostilePeer) -> None:
    await bad.complete_handshake()
    await bad.send_raw(prefixed(b"half", length=100), end=True)


async def no_payload(bad: HostilePeer) -> None:
    await bad.complete_handshake()
    await bad.send(KaspadMessage())


async def unknown_payload(bad: HostilePeer) -> None:
    await bad.complete_handshake()
    await bad.send_raw(prefixed(varint(9999 << 3 | 2) + b"\0"))


async def no_protobuf(bad: HostilePeer) -> None:
    await bad.complete_handshake()
    await bad.send_raw(prefixed(b"\xff" * 40))


async def second_version(bad: HostilePeer) -> None:
    await bad.complete_handshake()
    await bad.send(version())


async def malformed_inv(bad: HostilePeer) -> None:
    await bad.complete_handshake()
    short = p2p.InvTransactionsMessage(ids=[p2p.TransactionId(bytes=b"short")])
    await bad.send(KaspadMessage(invTransactions=short))


async def too_many_addresses(bad: HostilePeer) -> None:
    await bad.complete_handshake()
    await bad.send(addresses(2501))


async def addresses_again_and_again(bad: HostilePeer) -> None:
    await bad.complete_handshake()
    message = addresses(2500)
    for _ in range(40):
        await bad.send(message)


async def unasked_pongs(bad: HostilePeer) -> None:
    await bad.complete_handshake()
    for nonce in range(300):
        await bad.send(KaspadMessage(pong=p2p.PongMessage(nonce=nonce)))


async def wrong_network(bad: HostilePeer) -> None:
    await bad.send(version(network="kaspa-mainnet"), VERACK)


async def wrong_version(bad: HostilePeer) -> None:
    await bad.send(version(protocol_version=9), VERACK)


async def our_own_id(bad: HostilePeer) -> None:
    await bad.send(version(id=bad.node_id), VERACK)


async def malformed_id(bad: HostilePeer) -> None:
    await bad.send(version(id=b"short"), VERACK)


async def ping_before_version(bad: HostilePeer) -> None:
    await bad.send(ping(1))


@dataclass(frozen=True)
class Case:
    """An attack, the event that logs it, and a regular expression for the logged reason."""

    attack: Callable[[HostilePeer], Awaitable[None]]
    event: str
    reason: str
    bound: int = FLOOD_BOUND


CASES = [
    Case(oversized_prefix, "peer.disconnected", "a message of 4294967295 bytes is larger than max_message_size"),
    Case(just_too_large, "peer.disconnected", "a message of 16777217 bytes is larger than max_message_size"),
    Case(oversized_prefix_at_once, "peer.refused", "a message of 4294967295 bytes is larger than max_message_size"),
    Case(large_at_once, "peer.refused", "a message of 16777216 bytes is larger than .*16384", HANDSHAKE_BOUND),
    Case(large_instead_of_ready, "peer.refused", "a message of 16777216 bytes is larger than .*16384", HANDSHAKE_BOUND),
    Case(gzip_bomb, "peer.disconnected", r"inflates to more than max_message_size", PEER_BOUND),
    Case(gzip_bomb_at_once, "peer.refused", r"inflates to more than max_message_size .16384", HANDSHAKE_BOUND),
    Case(entries_bomb, "peer.disconnected", "unexpected message: block", PEER_BOUND),
    Case(
        entries_bomb_of_a_type_that_is_read,
        "peer.disconnected",
        "a requestRelayBlocks message of .* is larger than",
        PEER_BOUND,
    ),
    Case(
        entries_bomb_of_ids,
        "peer.disconnected",
        "a requestTransactions message of .* more than 131072 entries",
        2 * FLOOD_BOUND,  # the message itself, on its way through both ends
    ),
    Case(no_gzip, "peer.disconnected", "a compressed message is not gzip"),
    Case(half_a_message, "peer.disconnected", "the peer ended the stream inside a message"),
    Case(no_payload, "peer.disconnected", "unexpected message: no known payload"),
    Case(unknown_payload, "peer.disconnected", "unexpected message: no known payload"),
    Case(no_protobuf, "peer.disconnected", "a message is not protobuf"),
    Case(second_version, "peer.disconnected", "unexpected message: version"),
    Case(malformed_inv, "peer.disconnected", "we rejected the peer: "),
    Case(too_many_addresses, "peer.disconnected", "address count 2501 exceeded 2500"),
    Case(addresses_again_and_again, "peer.disconnected", "(unexpected message|too many .*): addresses"),
    Case(unasked_pongs, "peer.disconnected", "too many messages at once: pong"),
    Case(wrong_network, "peer.refused", "Network mismatch - local: kaspa-devnet, remote: kaspa-mainnet"),
    Case(wrong_version, "peer.refused", "P2P protocol version mismatch - local: 11, remote: 9"),
    Case(our_own_id, "peer.refused", "LOOPBACK_CONNECTION"),
    Case(malformed_id, "peer.refused", "we rejected the peer: .*16"),
    Case(ping_before_version, "peer.refused", "unexpected message during the handshake: ping"),
]


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.attack.__name__)
async def test_an_attack_costs_the_attacker_its_connection_and_disturbs_no_other_peer(
    case: Case, direction: Direction
) -> None:
    async with world() as here:
        with peak() as memory:
            await here.attack(direction, case.attack)
            assert await here.wait_dropped() < 5
        assert not here.bad_is_connected
        [reason] = here.logged_reasons(case.event)
        assert re.search(case.reason, reason), reason
        assert len(reason) < 500
        assert memory.grown < case.bound
        await here.check_undisturbed()


async def test_a_response_of_another_type_than_the_requested_one_is_not_expanded_in_memory() -> None:
    async def answer(bad: HostilePeer) -> None:
        await bad.complete_handshake()
        assert bad.asked  # the node has requested our addresses, and so told us the id of a route
        await bad.send_raw(prefixed(packed(of_empty_entries("pruningPointProof", 0x0A, 7 * MIB, bad.asked)), flag=1))
        await anyio.sleep(1)

    async with world() as here:
        with peak() as memory:
            await here.attack("inbound", answer)
        assert memory.grown < PEER_BOUND
        await here.check_undisturbed()


@pytest.mark.parametrize("direction", DIRECTIONS)
async def test_waiting_requests_are_bounded_by_the_memory_of_their_entries(direction: Direction) -> None:
    ids = [p2p.TransactionId(bytes=number.to_bytes(32, "big")) for number in range(20_000)]

    async def ask(bad: HostilePeer) -> None:
        await bad.complete_handshake()
        bad.stop_reading()
        await bad.send(KaspadMessage(requestTransactions=p2p.RequestTransactionsMessage(ids=ids)))
        for _ in range(60):
            await bad.send_raw(prefixed(packed(of_empty_entries("requestTransactions", 0x0A, 65_000)), flag=1))

    async with world() as here:
        with peak() as memory:
            await here.attack(direction, ask, reads=False)
            assert await here.wait_dropped() < 10
        assert here.logged_reasons("peer.disconnected") == ["too many bytes at once: requestTransactions"]
        assert memory.grown < MAX_QUEUED_BYTES + FLOOD_BOUND
        await here.check_undisturbed()


@pytest.mark.parametrize("direction", DIRECTIONS)
async def test_all_that_one_peer_can_make_the_node_hold_at_once_is_bounded(direction: Direction) -> None:
    """A full send queue, full routes, a request that cannot be answered, and the largest message, compressed."""
    known = addresses(2400)
    ids = [p2p.TransactionId(bytes=number.to_bytes(32, "big")) for number in range(131_072)]
    request = KaspadMessage(requestTransactions=p2p.RequestTransactionsMessage(ids=ids)).SerializeToString()
    empty = of_empty_entries("requestTransactions", 0x0A, 10_000)
    stored = zlib.compressobj(0, wbits=31)
    largest = of_empty_entries("pruningPointProof", 0x0A, 7 * MIB)
    largest = prefixed(stored.compress(largest) + stored.flush(), flag=1)

    async def ask(bad: HostilePeer) -> None:
        await bad.complete_handshake()
        while not known.response_id:
            message = await bad.stream.receive()
            assert message is not None
            known.response_id = message.request_id if message.HasField("requestAddresses") else 0
        await bad.send(known)
        await anyio.sleep(1)
        for _ in range(4):  # the replies fill the window of our end first, 4 MiB
            await bad.send(*[KaspadMessage(requestAddresses=p2p.RequestAddressesMessage())] * 170)
            await anyio.sleep(1)
        for _ in range(2):
            await bad.send_raw(prefixed(request))
            await anyio.sleep(1)
        for _ in range(7):
            await bad.send_raw(prefixed(empty))
        await bad.send_raw(largest)

    async with world() as here:
        with peak() as memory:
            await here.attack(direction, ask, reads=False)
            assert await here.wait_dropped() < 10
        assert here.logged_reasons("peer.disconnected") == ["unexpected message: pruningPointProof"]
        assert memory.grown < PEER_BOUND
        await here.check_undisturbed()


@pytest.mark.parametrize("direction", DIRECTIONS)
async def test_a_flood_of_inventories_is_dropped_for_an_idle_subscriber(direction: Direction) -> None:
    async def flood(bad: HostilePeer) -> None:
        await bad.complete_handshake()
        message = invs(1000)
        for _ in range(300):
            await bad.send(message)

    async with world() as here:
        with here.adaptor.subscribe_events() as asleep, peak() as memory:
            await here.attack(direction, flood)
            await here.check_still_connected()
            assert asleep.dropped > 0
        assert memory.grown < FLOOD_BOUND + HELD_BOUND
        await here.check_undisturbed()


async def test_the_largest_inventories_are_bounded_for_an_idle_subscriber_too() -> None:
    async def flood(bad: HostilePeer) -> None:
        await bad.complete_handshake()
        raw = prefixed(invs(131072).SerializeToString())
        for _ in range(6):
            await bad.send_raw(raw)

    async with world() as here:
        with here.adaptor.subscribe_events() as asleep, peak() as memory:
            await here.attack("inbound", flood)
            await here.check_still_connected()
            assert asleep.dropped > 0
        assert memory.grown < PEER_BOUND + HELD_BOUND
        await here.check_undisturbed()


@pytest.mark.parametrize("direction", DIRECTIONS)
async def test_a_flood_of_pings_is_answered_while_the_peer_reads_the_pongs(direction: Direction) -> None:
    async def flood(bad: HostilePeer) -> None:
        await bad.complete_handshake()
        for nonce in range(5000):
            await bad.send(ping(nonce))

    async with world() as here:
        with peak() as memory:
            await here.attack(direction, flood)
            await here.check_still_connected()
        assert here.bad is not None
        assert here.bad.heard.count("pong") == 5000
        assert memory.grown < FLOOD_BOUND
        await here.check_undisturbed()


@pytest.mark.parametrize("direction", DIRECTIONS)
async def test_a_flood_of_pings_from_a_peer_that_never_reads_ends_with_a_full_queue(direction: Direction) -> None:
    async def flood(bad: HostilePeer) -> None:
        await bad.complete_handshake()
        bad.stop_reading()
        for nonce in range(20_000):
            await bad.send(ping(nonce))

    async with world() as here:
        with peak() as memory:
            await here.attack(direction, flood, reads=False)
            assert await here.wait_dropped() < 10
        assert here.logged_reasons("peer.disconnected") == ["too many messages at once: ping"]
        assert memory.grown < FLOOD_BOUND
        await here.check_undisturbed()


@pytest.mark.parametrize("direction", DIRECTIONS)
async def test_a_peer_that_never_reads_the_replies_is_dropped_after_two_minutes(direction: Direction) -> None:
    ids = [p2p.TransactionId(bytes=number.to_bytes(32, "big")) for number in range(20_000)]
    request = KaspadMessage(requestTransactions=p2p.RequestTransactionsMessage(ids=ids))

    async def ask(bad: HostilePeer) -> None:
        await bad.complete_handshake()
        bad.stop_reading()
        await bad.send(request)

    async with world() as here:
        with peak() as memory:
            await here.attack(direction, ask, reads=False)
            assert SEND_TIMEOUT <= await here.wait_dropped() < SEND_TIMEOUT + 40
        assert here.logged_reasons("peer.disconnected") == [f"the peer has not read for {SEND_TIMEOUT:g} s"]
        assert memory.grown < FLOOD_BOUND
        await here.check_undisturbed()


@pytest.mark.parametrize("direction", DIRECTIONS)
async def test_control_frames_whose_replies_the_peer_never_reads_are_bounded(direction: Direction) -> None:
    async def flood(bad: HostilePeer) -> None:
        await bad.complete_handshake()
        bad.stop_reading()
        for _ in range(100):
            await bad.ping_frames(1000)

    async with world() as here:
        with peak() as memory:
            await here.attack(direction, flood, reads=False)
            assert await here.wait_dropped() < 10
        [reason] = here.logged_reasons("peer.disconnected")
        assert "the peer reads none of the answers that its frames ask for" in reason
        assert memory.grown < FLOOD_BOUND
        await here.check_undisturbed()


@pytest.mark.parametrize(("direction", "seconds"), [("inbound", 10), ("outbound", 30)])
async def test_a_silent_peer_is_dropped_when_the_limit_for_its_version_runs_out(
    direction: Direction, seconds: int
) -> None:
    async def silence(bad: HostilePeer) -> None:
        await anyio.sleep(1)

    async with world() as here:
        await here.attack(direction, silence)
        assert await here.wait_dropped() == pytest.approx(seconds, abs=2)
        [reason] = here.logged_reasons("peer.refused")
        assert reason == f"the peer sent no Version within {seconds} s"
        await here.check_undisturbed()


@pytest.mark.parametrize("said", [b"", prefixed(b"half", length=100)], ids=["nothing", "half a message"])
@pytest.mark.parametrize("direction", DIRECTIONS)
async def test_a_peer_that_falls_silent_is_dropped_when_it_answers_no_ping(said: bytes, direction: Direction) -> None:
    async def fall_silent(bad: HostilePeer) -> None:
        await bad.complete_handshake()
        if said:
            await bad.send_raw(said)

    async with world() as here:
        await here.attack(direction, fall_silent)
        assert await here.wait_dropped() == pytest.approx(PING_INTERVAL + PONG_TIMEOUT, abs=3)
        assert here.logged_reasons("peer.disconnected") == ["we rejected the peer: timeout expired after 120s"]
        await here.check_undisturbed()


async def test_a_port_that_accepts_and_stays_silent_fails_the_dial() -> None:
    async with world() as here:
        await here.network.host(BAD).listener(PORT).start(asyncio.Protocol)
        here.service.manager.add_request(at(BAD), permanent=False)
        await anyio.sleep(15)
        [failed] = [line for line in here.events if line["event"] == "dial.failed"]
        assert (failed["target"], failed["phase"]) == (f"http://{BAD}:{PORT}", "http2")
        await here.check_undisturbed()


async def test_the_same_id_twice_from_one_address_is_one_peer() -> None:
    id = bytes(range(16))

    async def come(bad: HostilePeer) -> None:
        await bad.send(version(id=id), VERACK, READY)
        await anyio.sleep(1)

    async with world() as here:
        await here.attack("inbound", come)
        await here.check_still_connected()
        await here.attack("inbound", come)
        await anyio.sleep(5)
        assert here.logged_reasons("peer.refused") == ["we rejected the peer: DUPLICATE_CONNECTION"]
        await here.attack("outbound", come)
        await anyio.sleep(5)
        assert here.logged_reasons("peer.refused") == ["we rejected the peer: DUPLICATE_CONNECTION"] * 2
        assert len([peer for peer in here.adaptor.peers() if peer.id == id]) == 1
        assert here.logged_reasons("peer.disconnected") == []
        await here.check_undisturbed()


@pytest.mark.parametrize("direction", DIRECTIONS)
async def test_a_peer_with_another_peers_id_does_not_replace_it(direction: Direction) -> None:
    async def impersonate(bad: HostilePeer) -> None:
        await bad.send(version(id=bad.good_id), VERACK, READY)
        await anyio.sleep(1)

    async with world() as here:
        await here.attack(direction, impersonate)
        await here.check_still_connected()
        await here.check_undisturbed()


DIALERS = 300


@pytest.mark.parametrize("hosts", [1, DIALERS], ids=["from one address", "each from its own"])
async def test_hundreds_of_dialers_at_once_get_only_the_free_places(hosts: int) -> None:
    limits = InboundLimits()
    most = 0

    async with world() as here, anyio.create_task_group() as tasks:
        leaves = [here.network.host(f"10.7.{number // 250}.{number % 250 + 1}") for number in range(hosts)]

        async def dial(number: int) -> None:
            nonlocal most

            async def complete_handshake(stream: OutboundStream) -> None:
                nonlocal most
                for message in (version(id=number.to_bytes(16, "big")), VERACK, READY):
                    await stream.send(message)
                most = max(most, here.adaptor._server.counter.open)
                while await stream.receive() is not None:
                    pass

            try:
                await dial_and_run(ConnectionHandler(leaf=leaves[number % hosts]), at(NODE), complete_handshake)
            except (ConnectError, StreamLost):
                pass

        with peak() as memory:
            for number in range(DIALERS):
                tasks.start_soon(dial, number)
            await anyio.sleep(30)
        inbound = here.adaptor.hub.count("inbound")
        # Places for handshakes are the bottleneck when all dial at once.
        assert 1 < inbound <= 1 + (limits.pending_per_address if hosts == 1 else limits.pending)
        per_address = limits.per_address if hosts == 1 else None
        assert most <= (limits.peers + limits.pending if per_address is None else 1 + per_address)
        assert memory.grown < STORM_BOUND
        refusals = [line for line in here.events if line["event"] == "peer.refused"]
        assert 1 <= len(refusals) < 40
        assert sum(1 + (line["more"] or 0) for line in refusals) >= DIALERS - inbound - limits.pending
        tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await anyio.sleep(5)
            assert here.adaptor._server.counter.open == 1
            await here.check_undisturbed()
