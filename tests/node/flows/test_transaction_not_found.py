from __future__ import annotations

import pytest

from tests.node.lines import running_router, settle
from ziggurat.node.flows.transaction_not_found import TransactionNotFound
from ziggurat.node.wire import p2p_pb2 as p2p
from ziggurat.node.wire.p2p_pb2 import KaspadMessage

pytestmark = pytest.mark.asyncio_only


def ask(*ids: bytes, request_id: int = 0) -> KaspadMessage:
    wanted = [p2p.TransactionId(bytes=id) for id in ids]
    return KaspadMessage(requestTransactions=p2p.RequestTransactionsMessage(ids=wanted), request_id=request_id)


async def test_each_id_is_answered_in_order() -> None:
    async with running_router() as (router, line):
        router.start_flow(TransactionNotFound(router))
        ids = [bytes([number]) * 32 for number in range(100)]
        line.feed(ask(*ids, request_id=7))
        await settle()
        assert [m.transactionNotFound.id.bytes for m in line.sent] == ids
        assert {m.response_id for m in line.sent} == {7}


async def test_more_ids_than_the_send_queue_holds_are_answered_as_the_peer_reads() -> None:
    async with running_router() as (router, line):
        router.start_flow(TransactionNotFound(router))
        line.feed(ask(*[bytes(32)] * 5000))
        await settle()
        assert len(line.sent) == 5000


async def test_a_malformed_request_is_rejected() -> None:
    async with running_router() as (router, line):
        router.start_flow(TransactionNotFound(router))
        line.feed(ask(b"short"))
        await router.closed.wait()
        assert line.names() == ["reject"]
