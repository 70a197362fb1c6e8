"""A client that writes exact frames to a server of ours, over a socket pair in memory."""

from __future__ import annotations

import asyncio
from typing import Any

import async_solipsism
from grpclib.const import Cardinality, Handler
from grpclib.server import Server
from hyperframe.frame import DataFrame, HeadersFrame

from ziggurat.services.channel.server import CompressionMixin
from ziggurat.services.channel.server_protocol import ServerProtocol

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

REQUEST = {
    ":method": "POST",
    ":scheme": "http",
    ":path": "/raw/echo",
    ":authority": "h",
    "te": "trailers",
    "content-type": "application/grpc+raw",
}


class GzipServer(CompressionMixin, Server):
    """grpclib's server with our mixin."""


class Methods:
    """A service of the given handlers, all of them for streams of bytes both ways."""

    def __init__(self, cardinality: Cardinality = Cardinality.STREAM_STREAM, **handlers: Any) -> None:
        self.mapping = {f"/raw/{name}": Handler(func, cardinality, bytes, bytes) for name, func in handlers.items()}

    def __mapping__(self) -> dict[str, Handler]:
        return self.mapping


async def dial(wire: Any, server: GzipServer, *, capacity: int | None = None) -> ServerProtocol:
    """Connect, and send the preface. The server's frames are then what `wire` expects and its tests read."""
    near, far = async_solipsism.socketpair(capacity=capacity)
    loop = asyncio.get_running_loop()
    _, protocol = await loop.create_connection(server._protocol_factory, sock=far)
    wire.reader, wire.writer = await asyncio.open_connection(sock=near)
    wire.writers.append(wire.writer)
    wire.protocols.append(protocol)
    wire._preface = True  # only clients send one
    await wire.send(PREFACE + wire.settings())
    return protocol


def request(wire: Any, stream_id: int = 1, *, end: bool = False, **changed: str | None) -> bytes:
    """Return a request's headers; ``None`` leaves one out."""
    headers = REQUEST | {name.replace("_", "-"): value for name, value in changed.items()}
    for name in ("method", "scheme", "path"):
        if name in headers:
            headers[f":{name}"] = headers.pop(name)
    frame: bytes = wire.headers(stream_id, [pair for pair in headers.items() if pair[1] is not None], end=end)
    return frame


async def answer(wire: Any, stream_id: int = 1) -> tuple[dict[str, str], bytes]:
    """Return all headers of an answer, trailers included, and its DATA."""
    headers, body = {}, b""
    while True:
        frame = await wire.next_frame()
        if isinstance(frame, HeadersFrame):
            fields = wire.decoder.decode(frame.data)
            if frame.stream_id == stream_id:
                headers |= dict(fields)
        elif isinstance(frame, DataFrame) and frame.stream_id == stream_id:
            body += frame.data
        if frame.stream_id == stream_id and "END_STREAM" in frame.flags:
            return headers, body
