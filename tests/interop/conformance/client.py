"""The client under test for connectconformance: makes the calls that it is told to make, on our channel.

``python client.py PROGRAM [--cancel task|stream] [--proxy HOST:PORT]``; ``PROGRAM`` is the path of connectconformance.
Calls run side by side. Those with the same address and the same settings share a channel.
"""

from __future__ import annotations

import argparse
import asyncio
import ssl
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError

from tests.interop.conformance.messages import (
    SERVICE,
    RawDetails,
    load,
    read_messages,
    to_headers,
    to_metadata,
    write_message,
)
from tests.interop.go_messages import GoMessages, Stub
from ziggurat.layers import ServiceBuilder
from ziggurat.services import Channel, Endpoint, TcpConnector

AT_ONCE = 64
"""Number of calls that run side by side."""

LIMIT = 10.0
"""Limit in seconds of a call that would otherwise hang; the longest one takes about a second."""

GZIP = 2  # Compression.COMPRESSION_GZIP
FULL_DUPLEX = 5  # StreamType.STREAM_TYPE_FULL_DUPLEX_BIDI_STREAM


class Client:
    """Makes calls.

    Args:
        messages: the messages of the suite.
        cancel: ``"task"`` cancels the task that makes a call, ``"stream"`` calls ``stream.cancel()``.
        proxy: address of a SOCKS5 server; ``None`` for none.
    """

    def __init__(self, messages: GoMessages, cancel: str, proxy: str | None) -> None:
        self.messages = messages
        self.cancel = cancel
        self.proxy = proxy
        self.details = RawDetails(messages)
        self.channels: dict[tuple[Any, ...], Channel] = {}
        self.open = AsyncExitStack()

    def channel(self, request: Any) -> Channel:
        """Return the channel for a call."""
        credentials = request.client_tls_creds
        address = f"{request.host}:{request.port}"
        key = (address, request.server_tls_cert, credentials.cert, request.compression, request.message_receive_limit)
        if key not in self.channels:
            stack = ServiceBuilder()
            if request.server_tls_cert:
                stack = stack.tls(client_context(request.server_tls_cert, credentials))
            if self.proxy is not None:
                stack = stack.socks5(self.proxy)
            endpoint = Endpoint(
                f"{'https' if request.server_tls_cert else 'http'}://{address}",
                compression="gzip" if request.compression == GZIP else None,
                max_message_size=request.message_receive_limit or None,
                status_details_codec=self.details,
            )
            self.channels[key] = endpoint.connect_lazy(stack.service(TcpConnector()))
            self.open.push_async_callback(self.channels[key].aclose)
        return self.channels[key]

    async def answer(self, request: Any) -> Any:
        """Make a call, and return the ``ClientCompatResponse``."""
        response = self.messages("connectrpc.conformance.v1.ClientCompatResponse")(test_name=request.test_name)
        try:
            call = Call(self, request)
            async with asyncio.timeout(LIMIT):
                await asyncio.create_task(call.run(self.channel(request)))
            response.response.CopyFrom(call.result)
        except Exception as error:
            response.error.message = f"{type(error).__name__}: {error}"
        return response


class Call:
    """One call and its ``ClientResponseResult``."""

    def __init__(self, client: Client, request: Any) -> None:
        self.client = client
        self.request = request
        self.result = client.messages("connectrpc.conformance.v1.ClientResponseResult")()
        self.cancelled = False
        self.stream: Any = None

    async def run(self, channel: Channel) -> None:
        """Make the call. An error of the call is part of the result; any other is raised."""
        request, messages = self.request, self.client.messages
        method = getattr(Stub(channel, messages, SERVICE), request.method)
        sent = [method.request_type.FromString(message.value) for message in request.request_messages]
        timeout = request.timeout_ms / 1000 if request.HasField("timeout_ms") else None
        try:
            async with method.open(timeout=timeout, metadata=to_metadata(request.request_headers)) as self.stream:
                await self.talk(sent, streaming=request.method in ("ClientStream", "BidiStream"))
            if request.method not in ("ServerStream", "BidiStream"):
                assert self.result.payloads, "without a message"  # as grpclib's stubs
        except GRPCError as error:
            self.fail(error.status, error.message, error.details)
        except TimeoutError:
            self.fail(Status.DEADLINE_EXCEEDED, "the deadline has passed")
        except asyncio.CancelledError:
            if not self.cancelled or self.client.cancel != "task":
                raise
            self.fail(Status.CANCELLED, "the task was cancelled")
        except StreamTerminatedError as error:
            # grpclib has no status for a reset stream or a lost connection.
            self.fail(Status.CANCELLED if self.cancelled else Status.UNAVAILABLE, str(error))
        header = messages("connectrpc.conformance.v1.Header")
        self.result.response_headers.extend(to_headers(header, self.stream.initial_metadata))
        self.result.response_trailers.extend(to_headers(header, self.stream.trailing_metadata))

    async def talk(self, messages: list[Any], *, streaming: bool) -> None:
        """Send the requests, and receive all responses until one of them or the status is an error."""
        request, stream = self.request, self.stream
        unsent, full_duplex = len(messages), request.stream_type == FULL_DUPLEX
        moment = request.cancel.WhichOneof("cancel_timing") if request.HasField("cancel") else None
        if request.HasField("cancel") and moment in (None, "after_close_send_ms") and not streaming:
            self.cancel_after(request.cancel.after_close_send_ms)  # sending the message ends the request
        try:
            if streaming:
                await stream.send_request()
            for message in messages:
                await asyncio.sleep(request.request_delay_ms / 1000)
                await stream.send_message(message)
                unsent -= 1
                if full_duplex and not await self.receive():
                    return
        finally:
            self.result.num_unsent_requests = unsent
        if moment == "before_close_send":
            await self.cancel_now()
        elif streaming:
            await stream.end()
            if request.HasField("cancel") and moment != "after_num_responses":
                self.cancel_after(request.cancel.after_close_send_ms)
        if request.method in ("ServerStream", "BidiStream"):
            while await self.receive():
                pass
        else:
            await self.receive()  # as grpclib's stubs: once, and the status is left to the end of the block

    async def receive(self) -> bool:
        """Receive a response, and return whether there was one."""
        message = await self.stream.recv_message()
        if message is None:
            return False
        payload = self.result.payloads.add()
        if hasattr(message, "payload"):
            payload.CopyFrom(message.payload)
        if len(self.result.payloads) == self.request.cancel.after_num_responses:
            await self.cancel_now()
        return True

    async def cancel_now(self) -> None:
        """Cancel the call in the way under test."""
        self.cancelled = True
        if self.client.cancel == "stream":
            await self.stream.cancel()
        else:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(0)

    def cancel_after(self, milliseconds: int) -> None:
        """Cancel the call in the way under test from elsewhere while it waits for the response."""
        task = asyncio.current_task()
        assert task is not None

        def cancel() -> None:
            if not task.done():
                self.cancelled = True
                if self.client.cancel == "stream":
                    self.canceller = asyncio.create_task(self.stream.cancel())
                else:
                    task.cancel()

        asyncio.get_running_loop().call_later(milliseconds / 1000, cancel)

    def fail(self, status: Status, message: str | None, details: Any = None) -> None:
        """Record the error of a call."""
        if self.request.method not in ("ServerStream", "BidiStream"):
            self.result.ClearField("payloads")  # the stub raises: it returns no message
        self.result.error.code = status.value
        self.result.error.message = message or ""
        self.result.error.details.extend(details or ())


def client_context(authority: bytes, credentials: Any) -> ssl.SSLContext:
    """Return a context that trusts ``authority``, with the client's own certificate, if there is one."""
    context = ssl.create_default_context(cadata=authority.decode())
    context.set_alpn_protocols(["h2"])
    if credentials.cert:
        with tempfile.TemporaryDirectory() as folder:
            for name in ("cert", "key"):
                Path(folder, name).write_bytes(getattr(credentials, name))
            context.load_cert_chain(Path(folder, "cert"), Path(folder, "key"))
    return context


async def main(arguments: argparse.Namespace) -> None:
    """Answer requests until stdin ends and all calls are over."""
    messages = load(arguments.program)
    client = Client(messages, arguments.cancel, arguments.proxy)
    requests = read_messages(messages("connectrpc.conformance.v1.ClientCompatRequest"))

    reading = asyncio.Lock()

    async def work() -> None:
        while True:
            async with reading:
                request = await asyncio.to_thread(next, requests, None)
            if request is None:
                return
            write_message(await client.answer(request))

    async with client.open, asyncio.TaskGroup() as tasks:
        for _ in range(AT_ONCE):
            tasks.create_task(work())


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--cancel", choices=("task", "stream"), default="task")
    parser.add_argument("--proxy")
    asyncio.run(main(parser.parse_args()))
