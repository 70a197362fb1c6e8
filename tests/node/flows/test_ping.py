from __future__ import annotations

import anyio
import pytest

from tests.node.lines import running_router, settle
from ziggurat.node.flows.ping import PingResponder, PingSender
from ziggurat.node.wire.p2p_pb2 import KaspadMessage, PingMessage, PongMessage

pytestmark = pytest.mark.asyncio_only


async def test_each_ping_is_answered_with_its_nonce_and_its_id() -> None:
    async with running_router() as (router, line):
        router.start_flow(PingResponder(router))
        line.feed(
            KaspadMessage(ping=PingMessage(nonce=2**64 - 1)), KaspadMessage(ping=PingMessage(nonce=5), request_id=9)
        )
        await settle()
        assert [(m.pong.nonce, m.response_id) for m in line.sent] == [(2**64 - 1, 0), (5, 9)]


async def test_the_round_trip_is_measured_every_two_minutes() -> None:
    async with running_router() as (router, line):
        router.start_flow(PingSender(router))
        await anyio.sleep(119)
        assert line.sent == []
        await anyio.sleep(2)
        [ping] = line.sent
        await anyio.sleep(3)
        line.feed(KaspadMessage(pong=PongMessage(nonce=ping.ping.nonce)))
        await settle()
        assert router.info.ping == pytest.approx(4, abs=0.1)
        await anyio.sleep(121)
        assert len(line.sent) == 2
        assert line.sent[1].ping.nonce != ping.ping.nonce
        line.feed(KaspadMessage(pong=PongMessage(nonce=line.sent[1].ping.nonce), response_id=line.sent[1].request_id))
        await settle()
        assert router.info.ping == pytest.approx(1, abs=0.1)


async def test_a_wrong_nonce_is_rejected_with_kaspads_text() -> None:
    async with running_router() as (router, line):
        router.start_flow(PingSender(router, 1.0))
        await anyio.sleep(1.5)
        line.feed(KaspadMessage(pong=PongMessage(nonce=line.sent[0].ping.nonce ^ 1)))
        await router.closed.wait()
        assert line.sent[-1].reject.reason == "nonce mismatch between ping and pong"


async def test_a_missing_pong_is_rejected_after_two_minutes() -> None:
    async with running_router() as (router, line):
        router.start_flow(PingSender(router, 1.0))
        await router.closed.wait()
        assert line.sent[-1].reject.reason == "timeout expired after 120s"


async def test_the_interval_must_be_positive() -> None:
    async with running_router() as (router, _):
        with pytest.raises(ValueError, match="interval must be a positive number of seconds, not 0"):
            PingSender(router, 0)
