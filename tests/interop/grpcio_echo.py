"""A grpcio server and a grpclib stub for it, as protoc's plugin would generate it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpclib.client
import pytest
from google.protobuf.wrappers_pb2 import BytesValue, Int64Value
from grpclib.client import StreamStreamMethod, StreamUnaryMethod, UnaryStreamMethod, UnaryUnaryMethod

__all__ = ["EchoServer", "EchoStub", "grpcio_echo"]


@dataclass
class EchoServer:
    """The server, with a record of its calls.

    Attributes:
        port: the port on 127.0.0.1.
        calls: number of calls so far.
        most: largest number of concurrent calls.
        metadata: metadata of the last call.
        remaining: seconds left of the last call's deadline; ``None`` without one.
        release: lets ``Hold`` reply.
        holding: counts the calls waiting in ``Hold``.
    """

    grpc: Any = None
    server: Any = None
    port: int = 0
    calls: int = 0
    most: int = 0
    metadata: dict[str, str | bytes] = field(default_factory=dict)
    remaining: float | None = None
    release: threading.Event = field(default_factory=threading.Event)
    holding: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    _now: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, context: Any) -> None:
        """Record a call."""
        with self._lock:
            self.calls += 1
            self._now += 1
            self.most = max(self.most, self._now)
            self.metadata = dict(context.invocation_metadata())
            self.remaining = context.time_remaining()
        context.add_callback(self._end)

    def _end(self) -> None:
        with self._lock:
            self._now -= 1

    def say(self, request: BytesValue, context: Any) -> BytesValue:
        self.begin(context)
        context.send_initial_metadata((("x-initial", "first"), ("x-raw-bin", b"\x00\xff")))
        context.set_trailing_metadata((("x-trailing", "last"),))
        return request

    def hold(self, request: BytesValue, context: Any) -> BytesValue:
        self.begin(context)
        self.holding.release()
        self.release.wait(20.0)
        return request

    def fail(self, request: BytesValue, context: Any) -> BytesValue:
        self.begin(context)
        context.set_trailing_metadata((("x-trailing", "last"),))
        context.abort(self.grpc.StatusCode.FAILED_PRECONDITION, "ungünstig: 100 %")
        return request

    def upload(self, requests: Iterator[BytesValue], context: Any) -> Int64Value:
        self.begin(context)
        return Int64Value(value=sum(len(request.value) for request in requests))

    def download(self, request: Int64Value, context: Any) -> Iterator[BytesValue]:
        self.begin(context)
        for number in range(request.value):
            yield BytesValue(value=number.to_bytes(4, "big") * 256)

    def make(self, request: Int64Value, context: Any) -> BytesValue:
        self.begin(context)
        return BytesValue(value=bytes(request.value))

    def talk(self, requests: Iterator[BytesValue], context: Any) -> Iterator[BytesValue]:
        self.begin(context)
        yield from requests

    def early(self, requests: Iterator[BytesValue], context: Any) -> Iterator[BytesValue]:
        self.begin(context)
        yield BytesValue(value=b"enough")
        context.abort(self.grpc.StatusCode.FAILED_PRECONDITION, "I am done first")


@contextmanager
def grpcio_echo(
    *, compression: str | None = None, options: Sequence[tuple[str, object]] = (), threads: int = 32
) -> Iterator[EchoServer]:
    """Serve on loopback for the length of a ``with`` block.

    Args:
        compression: compression of the replies, ``"gzip"`` or ``None``.
        options: grpcio's channel arguments.
        threads: number of server threads; each runs one call.
    """
    grpc = pytest.importorskip("grpc", reason="grpcio is not installed (pip install '.[interop]')")
    echo = EchoServer(grpc)
    kinds = {
        "Say": (grpc.unary_unary_rpc_method_handler, echo.say, BytesValue),
        "Hold": (grpc.unary_unary_rpc_method_handler, echo.hold, BytesValue),
        "Fail": (grpc.unary_unary_rpc_method_handler, echo.fail, BytesValue),
        "Make": (grpc.unary_unary_rpc_method_handler, echo.make, Int64Value),
        "Upload": (grpc.stream_unary_rpc_method_handler, echo.upload, BytesValue),
        "Download": (grpc.unary_stream_rpc_method_handler, echo.download, Int64Value),
        "Talk": (grpc.stream_stream_rpc_method_handler, echo.talk, BytesValue),
        "Early": (grpc.stream_stream_rpc_method_handler, echo.early, BytesValue),
    }
    handlers = {
        name: kind(function, request_deserializer=request.FromString, response_serializer=_serialize)
        for name, (kind, function, request) in kinds.items()
    }
    arguments = {"grpc.max_receive_message_length": -1, "grpc.so_reuseport": 0, **dict(options)}
    with ThreadPoolExecutor(threads) as pool:
        echo.server = grpc.server(
            pool,
            handlers=[grpc.method_handlers_generic_handler("test.Echo", handlers)],
            options=list(arguments.items()),
            compression=grpc.Compression.Gzip if compression == "gzip" else None,
        )
        echo.port = echo.server.add_insecure_port("127.0.0.1:0")
        echo.server.start()
        try:
            yield echo
        finally:
            echo.release.set()
            echo.server.stop(0).wait()


def _serialize(message: BytesValue | Int64Value) -> bytes:
    return message.SerializeToString()


class EchoStub:
    """The stub, for any grpclib channel."""

    def __init__(self, channel: grpclib.client.Channel) -> None:
        self.say = UnaryUnaryMethod(channel, "/test.Echo/Say", BytesValue, BytesValue)
        self.hold = UnaryUnaryMethod(channel, "/test.Echo/Hold", BytesValue, BytesValue)
        self.fail = UnaryUnaryMethod(channel, "/test.Echo/Fail", BytesValue, BytesValue)
        self.make = UnaryUnaryMethod(channel, "/test.Echo/Make", Int64Value, BytesValue)
        self.upload = StreamUnaryMethod(channel, "/test.Echo/Upload", BytesValue, Int64Value)
        self.download = UnaryStreamMethod(channel, "/test.Echo/Download", Int64Value, BytesValue)
        self.talk = StreamStreamMethod(channel, "/test.Echo/Talk", BytesValue, BytesValue)
        self.early = StreamStreamMethod(channel, "/test.Echo/Early", BytesValue, BytesValue)
