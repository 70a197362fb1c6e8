"""gRPC's interop test service, ``grpc.testing.TestService``: its messages, and a server of our own.

The cases are described in https://github.com/grpc/grpc/blob/master/doc/interop-test-descriptions.md.
"""

from __future__ import annotations

import asyncio
from typing import Any

from grpclib.const import Handler, Status
from grpclib.exceptions import GRPCError
from grpclib.server import Server, Stream
from multidict import MultiDict

from tests.interop.go_messages import GoMessages
from ziggurat.services import CompressionMixin

__all__ = [
    "BINARY",
    "INITIAL",
    "LOAD_REPORT",
    "OPEN_RCA",
    "TEST_SERVICE",
    "GzipServer",
    "OpenRca",
    "TestService",
    "load",
]

TEST_SERVICE = "grpc.testing.TestService"

OPEN_RCA = "xds.service.orca.v3.OpenRcaService"

INITIAL, BINARY = "x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"
"""Metadata that the service echoes, the first in the headers, the second in the trailers."""

LOAD_REPORT = "endpoint-load-metrics-bin"
"""The trailer with a call's ``OrcaLoadReport`` (gRFC A51)."""


def load(program: str) -> GoMessages:
    """Return the messages; ``program`` is the path of grpc-go's interop server or client."""
    files = ("grpc/testing/test.proto", "grpc/testing/messages.proto", "grpc/testing/empty.proto")
    return GoMessages(program, [*files, "xds/service/orca/v3/orca.proto"])


class GzipServer(CompressionMixin, Server):
    """grpclib's server with our mixin."""


class TestService:
    """The service. A method that it lacks is answered with ``UNIMPLEMENTED``, as two cases demand."""

    __test__ = False  # not a class of tests

    def __init__(self, messages: GoMessages) -> None:
        self.messages = messages
        self.metrics = self.report(None)
        self.measured = asyncio.Event()

    def __mapping__(self) -> dict[str, Handler]:
        return self.messages.handlers(TEST_SERVICE, self)

    def report(self, orca: Any) -> Any:
        """Return the ``OrcaLoadReport`` for a ``TestOrcaReport``."""
        kind = self.messages("xds.data.orca.v3.OrcaLoadReport")
        if orca is None:
            return kind()
        return kind(
            cpu_utilization=orca.cpu_utilization,
            mem_utilization=orca.memory_utilization,
            request_cost=orca.request_cost,
            utilization=orca.utilization,
        )

    async def EmptyCall(self, stream: Stream[Any, Any]) -> None:
        await stream.send_message(await stream.recv_message())

    async def UnaryCall(self, stream: Stream[Any, Any]) -> None:
        request = await stream.recv_message()
        trailers = await self._echo_metadata(stream)
        if request.HasField("orca_per_query_report"):
            trailers.add(LOAD_REPORT, self.report(request.orca_per_query_report).SerializeToString())
        if request.response_status.code:
            status = request.response_status
            await stream.send_trailing_metadata(
                status=Status(status.code), status_message=status.message, metadata=trailers
            )
            return
        await stream.send_message(self.messages("grpc.testing.SimpleResponse")(payload=self._payload(request)))
        await stream.send_trailing_metadata(metadata=trailers)

    async def StreamingInputCall(self, stream: Stream[Any, Any]) -> None:
        size = sum([len(request.payload.body) async for request in stream])
        await stream.send_message(
            self.messages("grpc.testing.StreamingInputCallResponse")(aggregated_payload_size=size)
        )

    async def StreamingOutputCall(self, stream: Stream[Any, Any]) -> None:
        request = await stream.recv_message()
        await self._send_all(stream, request)

    async def FullDuplexCall(self, stream: Stream[Any, Any]) -> None:
        trailers = await self._echo_metadata(stream)
        async for request in stream:
            if request.response_status.code:
                raise GRPCError(Status(request.response_status.code), request.response_status.message)
            if request.HasField("orca_oob_report"):
                self.metrics = self.report(request.orca_oob_report)
                self.measured.set()
            await self._send_all(stream, request)
        await stream.send_trailing_metadata(metadata=trailers)

    async def _echo_metadata(self, stream: Stream[Any, Any]) -> MultiDict[Any]:
        """Send the headers with the metadata that belongs into them, and return the trailers' metadata."""
        metadata = stream.metadata or MultiDict()
        initial, trailing = (MultiDict((n, v) for n, v in metadata.items() if n == name) for name in (INITIAL, BINARY))
        if initial:
            await stream.send_initial_metadata(metadata=initial)
        return trailing

    async def _send_all(self, stream: Stream[Any, Any], request: Any) -> None:
        for parameters in request.response_parameters:
            await asyncio.sleep(parameters.interval_us / 1e6)
            kind = self.messages("grpc.testing.StreamingOutputCallResponse")
            await stream.send_message(kind(payload={"body": bytes(parameters.size)}))

    def _payload(self, request: Any) -> Any:
        return self.messages("grpc.testing.Payload")(body=bytes(request.response_size))


class OpenRca:
    """The service that sends a server's metrics apart from its calls."""

    def __init__(self, service: TestService) -> None:
        self.service = service

    def __mapping__(self) -> dict[str, Handler]:
        return self.service.messages.handlers(OPEN_RCA, self)

    async def StreamCoreMetrics(self, stream: Stream[Any, Any]) -> None:
        await stream.recv_message()
        while True:
            self.service.measured.clear()
            await stream.send_message(self.service.metrics)
            await self.service.measured.wait()
