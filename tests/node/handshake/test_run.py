"""The handshake over a stream, with the clock of the event loop."""

from __future__ import annotations

import anyio
import pytest

from tests.node.lines import FakeStream
from ziggurat.node.handshake.handshake import OUTBOUND_LIMITS, Handshake, State
from ziggurat.node.handshake.identity import NodeIdentity
from ziggurat.node.handshake.rejection import HandshakeError, HandshakeTimeout, Kind
from ziggurat.node.handshake.run import closing_with_reject, run_handshake
from ziggurat.node.wire import p2p_pb2 as p2p
from ziggurat.node.wire.convert.version import Version
from ziggurat.node.wire.p2p_pb2 import KaspadMessage
from ziggurat.node.wire.stream import LossReason

pytestmark = pytest.mark.asyncio_only

NETWORK = "kaspa-devnet"
VERACK, READY = KaspadMessage(verack=p2p.VerackMessage()), KaspadMessage(ready=p2p.ReadyMessage())
REJECT = KaspadMessage(reject=p2p.RejectMessage(reason="DUPLICATE_CONNECTION"))
PING = KaspadMessage(ping=p2p.PingMessage(nonce=1))


def hello(network: str = NETWORK) -> KaspadMessage:
    return Handshake(NodeIdentity(network).version(), OUTBOUND_LIMITS).begin(0.0)[0]


def fresh() -> Handshake:
    return Handshake(NodeIdentity(NETWORK).version(), OUTBOUND_LIMITS)


async def handshake_result(
    line: FakeStream, *said: KaspadMessage, end: bool = False, lost: str | None = None
) -> Version | Exception:
    """Run both steps of a handshake, as the adaptor does; return the Version or the error."""
    line.feed(*said)
    if end:
        line.end()
    if lost:
        line.lose(lost)
    handshake = fresh()
    try:
        async with closing_with_reject(line):
            await run_handshake(line, handshake, until=State.AGREED)
            return await run_handshake(line, handshake)
    except HandshakeError as error:
        return error


async def test_the_first_step_ends_before_our_ready() -> None:
    line, handshake = FakeStream(), fresh()
    line.feed(hello(), VERACK, READY, PING)

    version = await run_handshake(line, handshake, until=State.AGREED)
    assert version.network == NETWORK
    assert line.names() == ["version", "verack"]
    assert await run_handshake(line, handshake) == version
    assert line.names() == ["version", "verack", "ready"]
    assert await line.receive() == PING  # messages after the handshake are left for the flows
    assert not line.closed


async def test_large_messages_of_other_types_are_not_decoded() -> None:
    line = FakeStream()
    line.feed(hello(), VERACK, READY)
    await run_handshake(line, fresh())

    assert line.wanted("version", 0)
    assert not line.wanted("version", 5)
    assert not line.wanted("block", 0)


async def test_an_incompatible_peer_gets_a_reject_with_the_reason() -> None:
    line = FakeStream()
    error = await handshake_result(line, hello("kaspa-simnet"), VERACK)

    assert isinstance(error, HandshakeError)
    assert error.kind is Kind.NETWORK
    assert line.sent[-1].reject.reason == error.reason
    assert line.closed


@pytest.mark.parametrize("before", [[], [hello()], [hello(), VERACK]])
async def test_a_reject_is_read_even_if_a_reset_follows_it(before: list[KaspadMessage]) -> None:
    line = FakeStream()
    error = await handshake_result(line, *before, REJECT, lost="Stream reset by remote party")

    assert isinstance(error, HandshakeError)
    assert (error.kind, error.by_peer) == (Kind.DUPLICATE, True)
    assert "reject" not in line.names()


async def test_a_silent_peer_is_rejected_after_thirty_seconds() -> None:
    line, started = FakeStream(), anyio.current_time()
    error = await handshake_result(line)

    assert isinstance(error, HandshakeTimeout)
    assert error.name == "Version"
    assert anyio.current_time() - started == pytest.approx(30, abs=0.5)
    assert line.sent[-1].reject.reason == "timeout expired after 30s"


async def test_a_peer_that_does_not_read_gets_the_same_time_limit() -> None:
    line, started = FakeStream(), anyio.current_time()
    line.blocked = True
    error = await handshake_result(line, hello(), VERACK, READY)

    assert isinstance(error, HandshakeTimeout)
    assert 30 <= anyio.current_time() - started < 32
    assert line.closed


async def test_a_lost_stream_is_transient() -> None:
    for error in (
        await handshake_result(FakeStream(), end=True),
        await handshake_result(FakeStream(), hello(), lost="reset"),
    ):
        assert isinstance(error, HandshakeError)
        assert error.kind is Kind.CLOSED
        assert error.transient
        assert not error.protocol_error


async def test_resource_exhausted_means_that_the_peer_is_busy() -> None:
    line = FakeStream()
    line.loss_reason = LossReason.BUSY
    error = await handshake_result(line, lost="RESOURCE_EXHAUSTED: later")

    assert isinstance(error, HandshakeError)
    assert error.kind is Kind.BUSY


@pytest.mark.parametrize("before", [[], [hello()], [hello(), VERACK]])
@pytest.mark.parametrize("odd", [PING, KaspadMessage(), KaspadMessage(verack=p2p.VerackMessage(), response_id=7)])
async def test_a_message_foreign_to_the_handshake_ends_it_without_a_reject(
    before: list[KaspadMessage], odd: KaspadMessage
) -> None:
    line = FakeStream()
    error = await handshake_result(line, *before, odd)

    assert isinstance(error, HandshakeError)
    assert error.kind is Kind.UNEXPECTED
    assert "reject" not in line.names()
    assert line.closed


async def test_a_message_out_of_order_is_rejected_with_kaspads_text() -> None:
    line = FakeStream()
    error = await handshake_result(line, hello(), READY)

    assert isinstance(error, HandshakeError)
    assert line.sent[-1].reject.reason == "expected message type/s {Verack} but got ready"


async def test_cancellation_closes_the_stream_without_a_reject() -> None:
    line = FakeStream()
    with anyio.move_on_after(1):
        await handshake_result(line)
    assert line.closed
    assert line.names() == ["version"]


async def test_any_other_error_closes_the_stream_without_a_reject() -> None:
    line = FakeStream()
    with pytest.raises(KeyError):
        async with closing_with_reject(line):
            raise KeyError
    assert line.closed
    assert line.names() == []


async def test_a_peer_that_does_not_read_its_reject_is_not_waited_for() -> None:
    line, started = FakeStream(), anyio.current_time()
    line.blocked = True
    with pytest.raises(HandshakeError):
        async with closing_with_reject(line):
            raise HandshakeError(Kind.SELF, "LOOPBACK_CONNECTION", by_peer=False)
    assert line.closed
    assert anyio.current_time() - started <= 1
