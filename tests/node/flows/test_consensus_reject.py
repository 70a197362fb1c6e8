from __future__ import annotations

import pytest

from tests.node.lines import running_router, settle
from ziggurat.node.flows.consensus_reject import ConsensusReject
from ziggurat.node.wire.p2p_pb2 import KaspadMessage

pytestmark = pytest.mark.asyncio_only


@pytest.mark.parametrize("name", ConsensusReject.types)
async def test_requests_for_consensus_data_are_rejected(name: str) -> None:
    async with running_router() as (router, line):
        router.start_flow(ConsensusReject(router))
        message = KaspadMessage()
        getattr(message, name).SetInParent()
        line.feed(message)
        await router.closed.wait()
        assert line.sent[-1].reject.reason == f"this node has no chain and cannot serve {name}"


async def test_types_of_a_users_flow_are_left_out() -> None:
    async with running_router() as (router, line):
        headers = router.subscribe("requestHeaders")
        router.start_flow(ConsensusReject(router))
        message = KaspadMessage()
        message.requestHeaders.SetInParent()
        line.feed(message)
        assert await headers.receive() == message
        await settle()
        assert router.reason is None
