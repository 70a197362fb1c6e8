from __future__ import annotations

import pytest

from tests.node.lines import running_router
from ziggurat.node.flows.reject import RejectReceiver
from ziggurat.node.wire.p2p_pb2 import KaspadMessage, RejectMessage

pytestmark = pytest.mark.asyncio_only


async def test_the_peers_reason_is_kept_and_not_answered() -> None:
    async with running_router() as (router, line):
        router.start_flow(RejectReceiver(router))
        line.feed(KaspadMessage(reject=RejectMessage(reason="you did\nsomething")))
        await router.closed.wait()
        assert router.reason == "the peer rejected us: you did something"
        assert line.sent == []


async def test_a_long_reason_is_cut() -> None:
    async with running_router() as (router, line):
        router.start_flow(RejectReceiver(router))
        line.feed(KaspadMessage(reject=RejectMessage(reason="x" * 100_000)))
        await router.closed.wait()
        assert router.reason is not None
        assert len(router.reason) <= 500
