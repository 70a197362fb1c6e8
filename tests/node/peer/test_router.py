"""One connection: messages are routed, queues are bounded, it closes once, and the peer's Reject is the reason."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from tests.node.lines import FakeStream, info, running_router, settle
from ziggurat.node.flows.reject import RejectReceiver
from ziggurat.node.peer.route import FlowError, PeerClosed
from ziggurat.node.peer.router import MAX_QUEUED_BYTES, ROUTE_CAPACITY, SEND_TIMEOUT, Router
from ziggurat.node.peer.turns import CYCLE, Turns
from ziggurat.node.wire import p2p_pb2 as p2p
from ziggurat.node.wire.convert.errors import ConversionError
from ziggurat.node.wire.p2p_pb2 import KaspadMessage

pytestmark = pytest.mark.asyncio_only


def ping(nonce: int = 0, **ids: int) -> KaspadMessage:
    return KaspadMessage(ping=p2p.PingMessage(nonce=nonce), **ids)


PONG = KaspadMessage(pong=p2p.PongMessage())


class Talk:
    """A flow that returns or raises at once."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.ran = False

    async def run(self) -> None:
        self.ran = True
        if self.error is not None:
            raise self.error


async def test_messages_go_to_the_route_of_their_type() -> None:
    async with running_router() as (router, line):
        pings, pongs = router.subscribe("ping"), router.subscribe("pong")
        line.feed(ping(1), PONG, ping(2))

        assert [(await pings.receive()).ping.nonce for _ in range(2)] == [1, 2]
        assert (await pongs.receive()).HasField("pong")


async def test_a_response_goes_to_the_route_of_its_id_whatever_its_type() -> None:
    async with running_router() as (router, line):
        pings, by_id = router.subscribe("ping"), router.subscribe()
        line.feed(ping(1, response_id=by_id.id), ping(2))

        assert (await by_id.receive()).ping.nonce == 1
        assert (await pings.receive()).ping.nonce == 2


@pytest.mark.parametrize(
    ("message", "name"),
    [(PONG, "pong"), (KaspadMessage(), "no known payload"), (ping(response_id=4_000_000_000), "ping")],
)
async def test_an_unexpected_message_closes_the_connection_without_a_reject(message: KaspadMessage, name: str) -> None:
    async with running_router() as (router, line):
        router.subscribe("ping")
        line.feed(message)
        await router.closed.wait()

        assert router.reason == f"unexpected message: {name}"
        assert line.sent == []


async def test_a_type_has_one_subscriber_and_can_be_unsubscribed() -> None:
    async with running_router() as (router, line):
        route = router.subscribe("ping", "pong")
        with pytest.raises(ValueError, match="another flow has subscribed to the message type 'pong'"):
            router.subscribe("pong")
        line.feed(ping(3))
        await settle()
        assert [message.ping.nonce for message in router.unsubscribe(route)] == [3]
        assert not router.is_subscribed("ping")
        router.subscribe("pong")


@pytest.mark.parametrize("name", ["pingg", "Ping", "request_id", ""])
async def test_a_type_must_exist(name: str) -> None:
    async with running_router() as (router, _):
        with pytest.raises(ValueError, match="unknown message type"):
            router.subscribe(name)


async def test_a_full_route_closes_the_connection_or_drops_messages() -> None:
    async with running_router() as (router, line):
        router.subscribe("pong")
        dropping = router.subscribe("ping", capacity=2, when_full="drop")
        line.feed(*[ping()] * 5)
        await settle()
        assert dropping.dropped == 3
        assert router.reason is None
        line.feed(*[PONG] * (ROUTE_CAPACITY + 1))
        await router.closed.wait()
        assert router.reason == "too many messages at once: pong"


async def test_a_burst_does_not_fill_a_queue_that_is_being_read() -> None:
    async with running_router() as (router, line):
        pings, count = router.subscribe("ping"), 0
        line.feed(*[ping()] * 10 * ROUTE_CAPACITY)
        line.end()
        async for _ in pings:
            count += 1
        assert count == 10 * ROUTE_CAPACITY
        await router.closed.wait()
        assert router.reason == "the peer ended the connection"


async def test_what_queued_messages_take_in_memory_is_bounded() -> None:
    async with running_router() as (router, line):
        router.subscribe("ping")
        router.subscribe("pong")
        dropping = router.subscribe("invRelayBlock", when_full="drop")
        line.cost = MAX_QUEUED_BYTES // 2
        line.feed(ping(), PONG, KaspadMessage(invRelayBlock=p2p.InvRelayBlockMessage()))
        await settle()
        assert router.reason is None
        assert dropping.dropped == 1
        line.cost = 1
        line.feed(ping())
        await router.closed.wait()
        assert router.reason == "too many bytes at once: ping"


async def test_a_single_message_may_take_more() -> None:
    async with running_router() as (router, line):
        pings = router.subscribe("ping")
        line.cost = MAX_QUEUED_BYTES * 2
        line.feed(ping(7))
        assert (await pings.receive()).ping.nonce == 7
        assert router.reason is None


async def test_of_a_response_of_another_type_the_content_is_not_wanted() -> None:
    async with running_router() as (router, line):
        pongs, blocks, any_answer = router.subscribe("pong"), router.subscribe(answers=("block",)), router.subscribe()
        for name, id, wanted in (
            ("pong", 0, True),
            ("pong", pongs.id, True),
            ("pruningPointProof", pongs.id, False),
            ("block", blocks.id, True),
            ("pruningPointProof", blocks.id, False),
            ("block", 0, False),
            ("pruningPointProof", any_answer.id, True),
            ("pruningPointProof", any_answer.id + 1000, False),
        ):
            assert line.wanted(name, id) is wanted, (name, id)


async def test_messages_are_sent_in_order_and_responses_carry_the_request_id() -> None:
    async with running_router() as (router, line):
        await router.send(ping(1))
        assert router.post(ping(2))
        await router.answer(ping(0, request_id=9), PONG)
        await settle()
        assert line.names() == ["ping", "ping", "pong"]
        assert line.sent[2].response_id == 9
        assert line.sent[2].request_id == 0


async def test_a_peer_that_does_not_read_is_disconnected_after_two_minutes() -> None:
    async with running_router() as (router, line):
        line.blocked = True
        started = anyio.current_time()
        router.post(ping())
        await router.closed.wait()
        assert router.reason == f"the peer has not read for {SEND_TIMEOUT:g} s"
        assert SEND_TIMEOUT <= anyio.current_time() - started < SEND_TIMEOUT + 40


async def test_a_reject_takes_precedence_over_the_lost_stream() -> None:
    async with running_router() as (router, line):
        router.start_flow(RejectReceiver(router))
        line.feed(KaspadMessage(reject=p2p.RejectMessage(reason="because")))
        line.lose("reset")
        await router.closed.wait()
        assert router.reason == "the peer rejected us: because"


async def test_a_reject_that_arrives_after_a_failed_send_is_the_reason() -> None:
    async with running_router() as (router, line):
        router.start_flow(RejectReceiver(router))
        line.unwritable = "broken pipe"
        router.post(ping())
        await settle()
        line.feed(KaspadMessage(reject=p2p.RejectMessage(reason="because")))
        await router.closed.wait()
        assert router.reason == "the peer rejected us: because"


async def test_messages_received_before_the_end_are_processed() -> None:
    async with running_router() as (router, line):
        seen: list[int] = []

        class Slow:
            route = router.subscribe("ping")

            async def run(self) -> None:
                async for message in self.route:
                    await anyio.sleep(0.1)
                    seen.append(message.ping.nonce)

        router.start_flow(Slow())
        line.feed(ping(1), ping(2), ping(3))
        line.end()
        await router.closed.wait()
        assert seen[:2] == [1, 2]  # the router waits for empty queues, not for the flow to process the third


async def test_a_flow_that_never_reads_does_not_delay_the_close() -> None:
    async with running_router() as (router, line):
        router.subscribe("ping")
        line.feed(ping())
        line.end()
        started = anyio.current_time()
        await router.closed.wait()
        assert anyio.current_time() - started < 3


@pytest.mark.parametrize("error", [FlowError("you broke it"), ConversionError("you broke it")])
async def test_a_flow_error_is_sent_as_a_reject(error: Exception) -> None:
    async with running_router() as (router, line):
        router.start_flow(Talk(error))
        await router.closed.wait()
        assert router.reason == "we rejected the peer: you broke it"
        assert [message.reject.reason for message in line.sent] == ["you broke it"]


async def test_a_bug_in_a_flow_closes_this_connection_without_a_reject(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running_router() as (router, line):
        router.start_flow(Talk(KeyError("secret")))
        await router.closed.wait()
        assert router.reason == "a flow failed: KeyError"
        assert line.sent == []
    assert "flow.failed" in caplog.text


async def test_a_connection_outlives_its_flows() -> None:
    async with running_router() as (router, _):
        talk, gone = Talk(), Talk(PeerClosed("x"))
        router.start_flow(talk)
        router.start_flow(gone)
        await settle()
        assert talk.ran
        assert gone.ran
        assert router.reason is None


async def test_only_the_first_close_counts_and_on_close_is_called_at_once() -> None:
    said: list[tuple[Router, str]] = []
    async with running_router(on_close=lambda *what: said.append(what)) as (router, line):
        route = router.subscribe("ping")
        router.close("first", reject="bye")
        router.close("second", reject="no")
        assert said == [(router, "first")]
        with pytest.raises(PeerClosed, match="first"):
            await route.receive()
        with pytest.raises(PeerClosed, match="first"):
            await router.send(PONG)
        assert not router.post(PONG)
        await router.closed.wait()
        assert [message.reject.reason for message in line.sent] == ["bye"]
        with pytest.raises(PeerClosed, match="first"):
            await router.subscribe("pong").receive()


async def test_closing_does_not_wait_for_a_peer_that_reads_nothing() -> None:
    async with running_router() as (router, line):
        line.blocked = True
        started = anyio.current_time()
        router.close("enough", reject="bye")
        await router.closed.wait()
        assert anyio.current_time() - started < 3


async def test_a_cancellation_closes_the_stream() -> None:
    line = FakeStream()
    router = Router(line, info())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(router.run)
        await anyio.sleep(1)
        tasks.cancel_scope.cancel()
    assert line.closed
    assert router.reason == "we are stopping"
    assert router.closed.is_set()


async def test_the_flows_of_many_peers_leave_the_event_loop_to_others_in_between() -> None:
    now, longest, done, peers, requests = 0.0, 0.0, 0, 30, 50
    turns = Turns(lambda: now)

    class Slow:
        """A flow whose answers take two milliseconds each."""

        def __init__(self, router: Router) -> None:
            self.router = router
            self.route = router.subscribe("ping")

        async def run(self) -> None:
            nonlocal now, done
            async for message in self.route:
                now += 0.002
                done += 1
                await self.router.answer(message, PONG)

    async def watch() -> None:
        nonlocal longest
        while done < peers * requests:
            before = now
            await asyncio.sleep(0)
            longest = max(longest, now - before)

    async with anyio.create_task_group() as tasks:
        for _ in range(peers):
            line = FakeStream()
            router = Router(line, info(), turns=turns)
            router.start_flow(Slow(router))
            line.feed(*[ping()] * requests)
            tasks.start_soon(router.run)
        await watch()
        tasks.cancel_scope.cancel()
    assert longest <= 2 * CYCLE + 2 * 0.002
