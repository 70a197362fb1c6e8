"""What grpclib's tests know as ``conn``: the ends of a connection in memory.

The client's end is our channel's; the other is an engine of h2 that the test moves. A server's end is grpclib's.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import grpclib.client
import grpclib.server
from grpclib.config import Configuration
from grpclib.const import Cardinality
from grpclib.encoding.base import CodecBase
from grpclib.encoding.proto import ProtoCodec
from grpclib.events import _DispatchServerEvents
from grpclib.protocol import H2Protocol
from h2.config import H2Configuration
from h2.connection import H2Connection
from stubs import DummyHandler, TransportStub

from tests.interop.grpclib_suite.channel import LooseProtocol

PROTO = ProtoCodec()
PATH = "/foo/bar"


def grpc_encode(message: Any, message_type: Any = None, codec: CodecBase = PROTO) -> bytes:
    """Return a message with its prefix."""
    body = codec.encode(message, message_type)
    return b"\0" + len(body).to_bytes(4, "big") + body


def grpc_decode(data: bytes, message_type: Any = None, codec: CodecBase = PROTO) -> Any:
    """Return the message behind a prefix."""
    assert int.from_bytes(data[1:5], "big") == len(data) - 5
    return codec.decode(data[5:], message_type)


class ClientConn:
    """A connection of ours to an engine that is moved by hand."""

    def __init__(self) -> None:
        self.server_h2c = H2Connection(H2Configuration(client_side=False, header_encoding="ascii"))
        self.server_h2c.initiate_connection()  # grpclib does without a server's SETTINGS; RFC 9113 3.4 does not
        self.to_server_transport = TransportStub(self.server_h2c)
        self.client_proto = LooseProtocol()
        self.to_server_transport.flush = self.client_proto.flush
        self.client_proto.connection_made(self.to_server_transport)
        self.server_flush()
        self.to_server_transport.events()

    def server_flush(self) -> None:
        self.client_proto.flush()
        self.client_proto.data_received(self.server_h2c.data_to_send())


class ClientStream:
    """A call of our channel over such a connection."""

    def __init__(
        self,
        *,
        client_conn: ClientConn | None = None,
        send_type: Any = None,
        recv_type: Any = None,
        path: str = PATH,
        codec: CodecBase = PROTO,
        cardinality: Cardinality = Cardinality.UNARY_UNARY,
        connect_time: float | None = None,
        timeout: float | None = None,
        deadline: Any = None,
        metadata: Any = None,
    ) -> None:
        self.client_conn = client_conn or ClientConn()
        channel: Any = grpclib.client.Channel("test.com", codec=codec)
        channel._authority = "test.com"
        if connect_time is None:
            channel._protocol = self.client_conn.client_proto
        else:

            async def connect(expired: Any = None) -> LooseProtocol:
                await asyncio.sleep(connect_time)
                return self.client_conn.client_proto

            channel.ready = connect
        self.client_stream = channel.request(
            path, cardinality, send_type, recv_type, timeout=timeout, deadline=deadline, metadata=metadata
        )


class ServerConn:
    """A connection of grpclib's server to an engine that is moved by hand."""

    def __init__(self) -> None:
        self.client_h2c = H2Connection(H2Configuration(client_side=True, header_encoding="ascii"))
        self.to_client_transport = TransportStub(self.client_h2c)
        self.client_h2c.initiate_connection()
        configuration = H2Configuration(client_side=False, header_encoding="ascii")
        self.server_proto = H2Protocol(DummyHandler(), Configuration().__for_test__(), configuration)
        self.server_proto.connection_made(self.to_client_transport)
        self.client_flush()
        self.to_client_transport.events()

    def client_flush(self) -> None:
        self.server_proto.data_received(self.client_h2c.data_to_send())


class ServerStream:
    """A handler's stream over such a connection."""

    def __init__(
        self,
        *,
        server_conn: ServerConn | None = None,
        recv_type: Any = None,
        send_type: Any = None,
        path: str = PATH,
        content_type: str = "application/grpc+proto",
        codec: CodecBase = PROTO,
        deadline: Any = None,
        metadata: Any = None,
    ) -> None:
        self.server_conn = server_conn or ServerConn()
        engine = self.server_conn.client_h2c
        self.stream_id = engine.get_next_available_stream_id()
        headers = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "test.com"}
        engine.send_headers(self.stream_id, [*headers.items(), ("te", "trailers"), ("content-type", content_type)])
        self.server_conn.client_flush()
        handler: Any = self.server_conn.server_proto.processor.handler
        self.server_h2s = handler.stream
        self.server_stream: Any = grpclib.server.Stream(
            self.server_h2s,
            path,
            Cardinality.UNARY_UNARY,
            recv_type,
            send_type,
            codec=codec,
            status_details_codec=None,
            dispatch=_DispatchServerEvents(),
            deadline=deadline,
        )
        self.server_stream.metadata = metadata or {}


class ClientServer:
    """A server on a port, and a channel to it: ``async with`` gives the handler and the stub."""

    def __init__(self, handler_cls: Any, stub_cls: Any, *, codec: Any = None, config: Any = None) -> None:
        self.handler_cls, self.stub_cls, self.codec, self.config = handler_cls, stub_cls, codec, config
        self.server: Any = None
        self.channel: Any = None

    async def __aenter__(self) -> Any:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
        handler = self.handler_cls()
        self.server = grpclib.server.Server([handler], codec=self.codec)
        await self.server.start("127.0.0.1", port)
        self.channel = grpclib.client.Channel("127.0.0.1", port, codec=self.codec, config=self.config)
        return handler, self.stub_cls(self.channel)

    async def __aexit__(self, *exception: object) -> None:
        self.channel.close()
        self.server.close()
        await self.server.wait_closed()
