"""The handshake on a router, with the clock of the event loop."""

from __future__ import annotations

import anyio
import pytest

from tests.node.lines import Line, routed, settle
from ziggurat.node.handshake.handshake import OUTBOUND_LIMITS, Handshake
from ziggurat.node.handshake.identity import NodeIdentity
from ziggurat.node.handshake.rejection import HandshakeError, HandshakeTimeout, Kind
from ziggurat.node.handshake.run import run_handshake
from ziggurat.node.peer.router import Router
from ziggurat.node.wire import p2p_pb2 as p2p
from ziggurat.node.wire.convert.version import Version
from ziggurat.node.wire.p2p_pb2 import KaspadMessage

pytestmark = pytest.mark.asyncio_only

NETWORK = "kaspa-devnet"
VERACK, READY = KaspadMessage(verack=p2p.VerackMessage()), KaspadMessage(ready=p2p.ReadyMessage())
REJECT = KaspadMessage(reject=p2p.RejectMessage(reason="DUPLICATE_CONNECTION"))


def hello(network: str = NETWORK) -> KaspadMessage:
    return Handshake(NodeIdentity(network).version(), OUTBOUND_LIMITS).begin(0.0)[0]


class Shaking:
    """A handshake under way; ``outcome`` is what it came to."""

    def __init__(self, router: Router, line: Line) -> None:
        self.router, self.line = router, line
        self.outcome: Version | Exception | None = None
        self.subscribed: list[bool] = []  # whether our Ready was out

    async def run(self) -> None:
        def subscribe(version: Version) -> None:
            self.subscribed.append("ready" in self.line.names())

        try:
            shake = Handshake(NodeIdentity(NETWORK).version(), OUTBOUND_LIMITS)
            self.outcome = await run_handshake(self.router, shake, subscribe)
        except HandshakeError as error:
            self.outcome = error


async def shaken(*said: KaspadMessage, end: bool = False, lost: str | None = None) -> Shaking:
    async with routed() as (router, line):
        shaking = Shaking(router, line)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(shaking.run)
            line.feed(*said)
            if end:
                line.end()
            if lost:
                line.lose(lost)
        await settle()
        return shaking


async def test_flows_subscribe_after_the_verack_and_before_our_ready() -> None:
    done = await shaken(hello(), VERACK, READY)

    assert isinstance(done.outcome, Version)
    assert done.subscribed == [False]
    assert done.line.names() == ["version", "verack", "ready"]
    assert not done.router.taken("version")


async def test_who_does_not_fit_is_told_why() -> None:
    done = await shaken(hello("kaspa-simnet"), VERACK)

    assert isinstance(done.outcome, HandshakeError)
    assert done.outcome.kind is Kind.NETWORK
    assert done.line.sent[-1].reject.reason == done.outcome.reason


@pytest.mark.parametrize("before", [[], [hello()], [hello(), VERACK], [hello(), VERACK, READY]])
async def test_a_reject_is_read_although_the_stream_is_reset_behind_it(before: list[KaspadMessage]) -> None:
    done = await shaken(*before, REJECT, lost="Stream reset by remote party")

    assert isinstance(done.outcome, HandshakeError)
    assert (done.outcome.kind, done.outcome.by_peer) == (Kind.DUPLICATE, True)
    assert "reject" not in done.line.names()


async def test_a_second_ready_is_a_breach() -> None:
    done = await shaken(hello(), VERACK, READY, READY)
    assert isinstance(done.outcome, HandshakeError)
    assert done.outcome.kind is Kind.UNEXPECTED


async def test_silence_ends_after_thirty_seconds_and_says_so() -> None:
    started = anyio.current_time()
    done = await shaken()

    assert isinstance(done.outcome, HandshakeTimeout)
    assert done.outcome.name == "Version"
    assert anyio.current_time() - started == pytest.approx(30, abs=0.5)
    assert done.line.sent[-1].reject.reason == "timeout expired after 30s"


async def test_an_end_without_a_word_is_transient() -> None:
    for outcome in ((await shaken(end=True)).outcome, (await shaken(hello(), lost="reset")).outcome):
        assert isinstance(outcome, HandshakeError)
        assert outcome.kind is Kind.CLOSED
        assert outcome.transient
        assert not outcome.protocol_error


async def test_what_does_not_belong_to_a_handshake_ends_it() -> None:
    done = await shaken(hello(), KaspadMessage(ping=p2p.PingMessage()))
    assert isinstance(done.outcome, HandshakeError)
    assert "nobody waits for the message ping" in done.outcome.reason


async def test_giving_up_closes_the_connection() -> None:
    async with routed() as (router, line):
        with anyio.move_on_after(1):
            await run_handshake(router, Handshake(NodeIdentity(NETWORK).version(), OUTBOUND_LIMITS), lambda _: None)
        assert router.reason == "given up during the handshake"
        assert line.names() == ["version"]
