"""gRPC's interop cases, as a client runs them against any server of ``grpc.testing.TestService``.

They are described in https://github.com/grpc/grpc/blob/master/doc/interop-test-descriptions.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from tests.interop.go_messages import GoMessages, Stub
from tests.interop.grpc_testing import BINARY, INITIAL, LOAD_REPORT, OPEN_RCA, TEST_SERVICE
from ziggurat.services import Channel

__all__ = ["CASES", "SOAK_CALLS", "SOAK_CHANNELS", "SOAK_WORKERS", "Peer"]

LARGE_REQUEST, LARGE_RESPONSE = 271828, 314159
REQUESTS = (27182, 8, 1828, 45904)
RESPONSES = (31415, 9, 2653, 58979)
"""Sizes of payloads, from the descriptions of the cases."""

MESSAGE = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"

SOAK_CALLS, SOAK_WORKERS = 200, 10
SOAK_CHANNELS = 50


class Peer:
    """The server, as a case sees it.

    Attributes:
        stub: the client of its test service, on `channel`.
        open: opens another channel.
        messages: its messages.
    """

    def __init__(self, channel: Channel, open_channel: Callable[[], Any], messages: GoMessages) -> None:
        self.channel = channel
        self.open = open_channel
        self.messages = messages
        self.stub = Stub(channel, messages, TEST_SERVICE)

    def empty(self) -> Any:
        return self.messages("grpc.testing.Empty")()

    def simple(self, sent: int = 0, wanted: int = 0, **fields: Any) -> Any:
        """Return a request of `sent` bytes for a response of ``wanted`` bytes."""
        kind = self.messages("grpc.testing.SimpleRequest")
        return kind(response_size=wanted, payload={"body": bytes(sent)}, **fields)

    def streaming(self, sent: int, *wanted: int, **fields: Any) -> Any:
        """Return a request of ``sent`` bytes for responses of the sizes ``wanted``."""
        kind = self.messages("grpc.testing.StreamingOutputCallRequest")
        return kind(response_parameters=[{"size": size} for size in wanted], payload={"body": bytes(sent)}, **fields)

    async def large_unary(self, stub: Stub) -> None:
        answer = await stub.UnaryCall(self.simple(LARGE_REQUEST, LARGE_RESPONSE))
        assert answer.payload.body == bytes(LARGE_RESPONSE)


async def empty_unary(peer: Peer) -> None:
    assert await peer.stub.EmptyCall(peer.empty()) == peer.empty()


async def large_unary(peer: Peer) -> None:
    await peer.large_unary(peer.stub)


async def client_streaming(peer: Peer) -> None:
    kind = peer.messages("grpc.testing.StreamingInputCallRequest")
    answer = await peer.stub.StreamingInputCall([kind(payload={"body": bytes(size)}) for size in REQUESTS])
    assert answer.aggregated_payload_size == sum(REQUESTS)


async def server_streaming(peer: Peer) -> None:
    answers = await peer.stub.StreamingOutputCall(peer.streaming(0, *RESPONSES))
    assert [len(answer.payload.body) for answer in answers] == [*RESPONSES]


async def ping_pong(peer: Peer) -> None:
    async with peer.stub.FullDuplexCall.open() as stream:
        for sent, wanted in zip(REQUESTS, RESPONSES, strict=True):
            await stream.send_message(peer.streaming(sent, wanted))
            assert len((await stream.recv_message()).payload.body) == wanted
        await stream.end()
        assert await stream.recv_message() is None


async def empty_stream(peer: Peer) -> None:
    assert await peer.stub.FullDuplexCall([]) == []


async def timeout_on_sleeping_server(peer: Peer) -> None:
    async def call() -> None:
        async with peer.stub.FullDuplexCall.open(timeout=0.001) as stream:
            await stream.send_message(peer.streaming(27182))
            await stream.recv_message()

    # In a task of its own: grpclib cancels the task for the deadline and never takes that back (Task.uncancel).
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.create_task(call())


async def cancel_after_begin(peer: Peer) -> None:
    async with peer.stub.StreamingInputCall.open() as stream:
        await stream.send_request()
        await stream.cancel()
    await empty_unary(peer)


async def cancel_after_first_response(peer: Peer) -> None:
    begun = asyncio.Event()

    async def call() -> None:
        async with peer.stub.FullDuplexCall.open() as stream:
            await stream.send_message(peer.streaming(27182, 31415))
            assert len((await stream.recv_message()).payload.body) == 31415
            begun.set()
            await stream.recv_message()

    task = asyncio.create_task(call())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await empty_unary(peer)


async def status_code_and_message(peer: Peer) -> None:
    status = {"code": 2, "message": "test status message"}
    with pytest.raises(GRPCError) as unary:
        await peer.stub.UnaryCall(peer.simple(response_status=status))
    with pytest.raises(GRPCError) as streamed:
        await peer.stub.FullDuplexCall([peer.streaming(0, response_status=status)])
    for caught in (unary, streamed):
        assert (caught.value.status, caught.value.message) == (Status.UNKNOWN, "test status message")


async def special_status_message(peer: Peer) -> None:
    with pytest.raises(GRPCError) as caught:
        await peer.stub.UnaryCall(peer.simple(response_status={"code": 2, "message": MESSAGE}))
    assert (caught.value.status, caught.value.message) == (Status.UNKNOWN, MESSAGE)


async def custom_metadata(peer: Peer) -> None:
    metadata = {INITIAL: "test_initial_metadata_value", BINARY: b"\x0a\x0b\x0a\x0b\x0a\x0b"}
    for method, request in (
        (peer.stub.UnaryCall, peer.simple(1, 1)),
        (peer.stub.FullDuplexCall, peer.streaming(1, 1)),
    ):
        async with method.open(metadata=metadata) as stream:
            await stream.send_message(request, end=True)
            assert len((await stream.recv_message()).payload.body) == 1
        assert stream.initial_metadata.getall(INITIAL) == [metadata[INITIAL]]
        assert stream.trailing_metadata.getall(BINARY) == [metadata[BINARY]]


async def unimplemented_method(peer: Peer) -> None:
    with pytest.raises(GRPCError) as caught:
        await peer.stub.UnimplementedCall(peer.empty())
    assert caught.value.status is Status.UNIMPLEMENTED


async def unimplemented_service(peer: Peer) -> None:
    stub = Stub(peer.channel, peer.messages, "grpc.testing.UnimplementedService")
    with pytest.raises(GRPCError) as caught:
        await stub.UnimplementedCall(peer.empty())
    assert caught.value.status is Status.UNIMPLEMENTED


async def rpc_soak(peer: Peer) -> None:
    left = iter(range(SOAK_CALLS))

    async def work() -> None:
        for _ in left:
            await peer.large_unary(peer.stub)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(SOAK_WORKERS):
            tasks.create_task(work())


async def channel_soak(peer: Peer) -> None:
    for _ in range(SOAK_CHANNELS):
        async with peer.open() as channel:
            await peer.large_unary(Stub(channel, peer.messages, TEST_SERVICE))


ORCA = {"cpu_utilization": 0.8210, "memory_utilization": 0.5847, "utilization": {"util": 0.30499}}


def report(peer: Peer, **fields: Any) -> Any:
    kind = peer.messages("xds.data.orca.v3.OrcaLoadReport")
    return kind(cpu_utilization=0.8210, mem_utilization=0.5847, utilization={"util": 0.30499}, **fields)


async def orca_per_rpc(peer: Peer) -> None:
    cost = {"request_cost": {"cost": 3456.32}}
    async with peer.stub.UnaryCall.open() as stream:
        await stream.send_message(peer.simple(orca_per_query_report={**ORCA, **cost}))
        await stream.recv_message()
    wanted = report(peer, **cost)
    assert type(wanted).FromString(stream.trailing_metadata[LOAD_REPORT]) == wanted


async def orca_oob(peer: Peer) -> None:
    metrics = Stub(peer.channel, peer.messages, OPEN_RCA).StreamCoreMetrics
    async with peer.stub.FullDuplexCall.open() as stream:
        await stream.send_message(peer.streaming(0, 1, orca_oob_report=ORCA), end=True)
        await stream.recv_message()
        async with metrics.open() as reports:
            request = peer.messages("xds.service.orca.v3.OrcaLoadReportRequest")
            await reports.send_message(request(report_interval={"nanos": 1_000_000}))
            while await reports.recv_message() != report(peer):
                pass
            await reports.cancel()


CASES = (
    empty_unary,
    large_unary,
    client_streaming,
    server_streaming,
    ping_pong,
    empty_stream,
    timeout_on_sleeping_server,
    cancel_after_begin,
    cancel_after_first_response,
    status_code_and_message,
    special_status_message,
    custom_metadata,
    unimplemented_method,
    unimplemented_service,
    rpc_soak,
    channel_soak,
    orca_per_rpc,
    orca_oob,
)
