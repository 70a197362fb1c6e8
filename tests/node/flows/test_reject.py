from __future__ import annotations

import pytest

from tests.node.lines import routed
from ziggurat.node.flows.reject import RejectReceiver
from ziggurat.node.wire.p2p_pb2 import KaspadMessage, RejectMessage

pytestmark = pytest.mark.asyncio_only


@pytest.mark.parametrize(
    ("reason", "level"),
    [("you did\nsomething", "WARNING"), ("DUPLICATE_CONNECTION", None), ("LOOPBACK_CONNECTION", None)],
)
async def test_the_reason_is_shown_and_nothing_answered(
    reason: str, level: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    async with routed() as (router, line):
        router.launch(RejectReceiver(router))
        line.feed(KaspadMessage(reject=RejectMessage(reason=reason)))
        await router.closed.wait()
        assert router.reason == f"the peer rejected us: {reason}".replace("\n", " ")
        assert line.sent == []
    shown = [record.levelname for record in caplog.records if "rejected_us" in record.message]
    assert shown == ([level] if level else [])


async def test_a_long_reason_is_cut() -> None:
    async with routed() as (router, line):
        router.launch(RejectReceiver(router))
        line.feed(KaspadMessage(reject=RejectMessage(reason="x" * 100_000)))
        await router.closed.wait()
        assert router.reason is not None
        assert len(router.reason) <= 500
