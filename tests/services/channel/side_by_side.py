"""The same calls on grpclib's channel and on ours, and what a user sees of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import async_solipsism
import grpclib.client
from anyio.abc import ByteStream
from grpclib.const import Status
from grpclib.encoding.base import CodecBase, StatusDetailsCodecBase
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError
from grpclib.server import Server

from ziggurat.layers.testing import stream_pair
from ziggurat.services import Channel, Endpoint, Uri, dial
from ziggurat.services.stream_transport import StreamTransport

__all__ = ["BytesCodec", "DetailsCodec", "our_channel", "outcome_of", "stock_channel"]

LIMIT = 5.0
"""Virtual seconds after which an operation counts as one that waits."""

KINDS = (ProtocolError, GRPCError, StreamTerminatedError, TimeoutError)
"""The exceptions that grpclib's users know. What they see of a subclass is the class."""


class BytesCodec(CodecBase):
    """A message is its bytes."""

    __content_subtype__ = "bytes"

    def encode(self, message: Any, message_type: Any) -> bytes:
        return bytes(message)

    def decode(self, data: bytes, message_type: Any) -> bytes:
        return data


class DetailsCodec(StatusDetailsCodecBase):
    """Details are a text; what is decoded also names the status."""

    def encode(self, status: Status, message: str | None, details: Any) -> bytes:
        return str(details).encode()

    def decode(self, status: Status, message: str | None, data: bytes) -> str:
        return f"{data.decode()} of {status.name}"


class StockChannel(grpclib.client.Channel):
    """grpclib's own channel, to a server in this process."""

    def __init__(self, server: Server, **arguments: Any) -> None:
        super().__init__("far.example", 50051, **arguments)
        self._server = server

    async def _create_connection(self) -> Any:
        near, far = async_solipsism.socketpair()
        loop = asyncio.get_running_loop()
        await loop.create_connection(self._server._protocol_factory, sock=far)
        _, protocol = await loop.create_connection(self._protocol_factory, sock=near)
        return protocol


def stock_channel(server: Server, **arguments: Any) -> grpclib.client.Channel:
    """Return grpclib's channel to a server."""
    return StockChannel(server, **arguments)


def our_channel(server: Server, **arguments: Any) -> Channel:
    """Return our channel to a server."""

    async def connector(uri: Uri) -> ByteStream:
        with dial(uri) as current:
            near, far = stream_pair()
            StreamTransport(far, server._protocol_factory())
            return current.established(near)

    return Endpoint("http://far.example:50051", **arguments).connect_lazy(connector)


async def outcome_of(operation: Callable[[], Awaitable[Any]], limit: float = LIMIT) -> Any:
    """Return what an operation returns, ``"waits"``, or the class and the text of its error."""
    task = asyncio.ensure_future(operation())
    done, _ = await asyncio.wait([task], timeout=limit)
    if not done:
        task.cancel()
        await asyncio.wait([task])
        return "waits"
    error = task.exception()
    return task.result() if error is None else seen(error)


def seen(error: BaseException) -> Any:
    """Return what a user of grpclib sees of an error."""
    if isinstance(error, GRPCError):
        return (GRPCError, error.status, error.message, error.details)
    kind = next((kind for kind in KINDS if isinstance(error, kind)), type(error))
    # A reset's text names the code here, and in grpclib it is the number alone.
    return kind if kind is StreamTerminatedError else (kind, str(error))
