"""The server under test for connectconformance: the ConformanceService, on grpclib's server with our mixin.

``python server.py PROGRAM``; ``PROGRAM`` is the path of connectconformance. Serves until SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import ssl
import tempfile
from pathlib import Path
from typing import Any

from grpclib.const import Handler, Status
from grpclib.server import Server, Stream

from tests.interop.conformance.messages import (
    SERVICE,
    RawDetails,
    load,
    read_messages,
    to_headers,
    to_metadata,
    write_message,
)
from tests.interop.go_messages import GoMessages
from ziggurat.services import CompressionMixin


class GzipServer(CompressionMixin, Server):
    """grpclib's server with our mixin."""


class Service:
    """The ConformanceService, but for ``Unimplemented``."""

    def __init__(self, messages: GoMessages) -> None:
        self.messages = messages

    def __mapping__(self) -> dict[str, Handler]:
        return self.messages.handlers(SERVICE, self)

    async def Unary(self, stream: Stream[Any, Any]) -> None:
        await self._answer_once(stream, [await stream.recv_message()])

    async def IdempotentUnary(self, stream: Stream[Any, Any]) -> None:
        await self._answer_once(stream, [await stream.recv_message()])

    async def ClientStream(self, stream: Stream[Any, Any]) -> None:
        await self._answer_once(stream, [request async for request in stream])

    async def ServerStream(self, stream: Stream[Any, Any]) -> None:
        requests = [await stream.recv_message()]
        definition = await self._begin(stream, requests)
        await self._answer_rest(stream, definition, requests, 0)

    async def BidiStream(self, stream: Stream[Any, Any]) -> None:
        requests: list[Any] = []
        definition, full_duplex, answered = None, False, 0
        async for request in stream:
            requests.append(request)
            if definition is None:
                definition, full_duplex = await self._begin(stream, requests), request.full_duplex
            if full_duplex:
                if definition is None or answered == len(definition.response_data):
                    break
                about = self._about(stream, requests) if answered == 0 else self._info(requests=self._packed(requests))
                await asyncio.sleep(definition.response_delay_ms / 1000)
                await self._send(stream, definition.response_data[answered], about)
                answered, requests = answered + 1, []
        await self._answer_rest(stream, definition, requests, answered)

    async def _begin(self, stream: Stream[Any, Any], requests: list[Any]) -> Any:
        """Send the headers that the first request asks for, and return its definition of the response, if any."""
        if not requests or not requests[0].HasField("response_definition"):
            return None
        definition = requests[0].response_definition
        await stream.send_initial_metadata(metadata=to_metadata(definition.response_headers))
        return definition

    async def _answer_once(self, stream: Stream[Any, Any], requests: list[Any]) -> None:
        """Answer with one message, or an error."""
        definition = await self._begin(stream, requests)
        if definition is not None:
            await asyncio.sleep(definition.response_delay_ms / 1000)
        about = self._about(stream, requests)
        if definition is not None and definition.HasField("error"):
            await self._fail(stream, definition, about)
            return
        await self._send(stream, b"" if definition is None else definition.response_data, about)
        if definition is not None:
            await stream.send_trailing_metadata(metadata=to_metadata(definition.response_trailers))

    async def _answer_rest(self, stream: Stream[Any, Any], definition: Any, requests: list[Any], answered: int) -> None:
        """Answer with the messages that are left, and perhaps an error."""
        if definition is None:
            return
        for data in definition.response_data[answered:]:
            about = self._about(stream, requests) if answered == 0 else None
            await asyncio.sleep(definition.response_delay_ms / 1000)
            await self._send(stream, data, about)
            answered += 1
        if definition.HasField("error"):
            await self._fail(stream, definition, self._about(stream, requests) if answered == 0 else None)
        else:
            await stream.send_trailing_metadata(metadata=to_metadata(definition.response_trailers))

    def _info(self, **fields: Any) -> Any:
        return self.messages("connectrpc.conformance.v1.ConformancePayload").RequestInfo(**fields)

    def _about(self, stream: Stream[Any, Any], requests: list[Any]) -> Any:
        """Return what the service has seen of the request."""
        headers = to_headers(self.messages("connectrpc.conformance.v1.Header"), stream.metadata)
        info = self._info(request_headers=headers, requests=self._packed(requests))
        if stream.deadline is not None:
            info.timeout_ms = round(stream.deadline.time_remaining() * 1000)
        return info

    def _packed(self, messages: list[Any]) -> list[Any]:
        packed = [self.messages("google.protobuf.Any")() for _ in messages]
        for each, message in zip(packed, messages, strict=True):
            each.Pack(message)
        return packed

    async def _send(self, stream: Stream[Any, Any], data: bytes, about: Any) -> None:
        payload = self.messages("connectrpc.conformance.v1.ConformancePayload")(data=data, request_info=about)
        await stream.send_message(stream._send_type(payload=payload))

    async def _fail(self, stream: Stream[Any, Any], definition: Any, about: Any) -> None:
        error = definition.error
        await stream.send_trailing_metadata(
            status=Status(error.code),
            status_message=error.message,
            status_details=[*error.details, *(self._packed([about]) if about is not None else ())],
            metadata=to_metadata(definition.response_trailers),
        )


def server_context(request: Any) -> ssl.SSLContext | None:
    """Return the TLS context that a ``ServerCompatRequest`` asks for; ``None`` for none."""
    if not request.use_tls:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["h2"])
    with tempfile.TemporaryDirectory() as folder:
        for name in ("cert", "key"):
            Path(folder, name).write_bytes(getattr(request.server_creds, name))
        context.load_cert_chain(Path(folder, "cert"), Path(folder, "key"))
    if request.client_tls_cert:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=request.client_tls_cert.decode())
    return context


async def main(arguments: argparse.Namespace) -> None:
    """Start the server, say where it listens, and wait for SIGTERM."""
    messages = load(arguments.program)
    request = next(read_messages(messages("connectrpc.conformance.v1.ServerCompatRequest")))
    server = GzipServer(
        [Service(messages)],
        status_details_codec=RawDetails(messages),
        compression="gzip",
        max_message_size=request.message_receive_limit or None,
    )
    await server.start("127.0.0.1", 0, ssl=server_context(request))
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    port = server._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    answer = messages("connectrpc.conformance.v1.ServerCompatResponse")(host="127.0.0.1", port=port)
    if request.use_tls:
        answer.pem_cert = request.server_creds.cert
    write_message(answer)
    await stopped.wait()
    server.close()
    await server.wait_closed()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    asyncio.run(main(parser.parse_args()))
