from __future__ import annotations

from typing import Any

from grpclib.const import Cardinality, Handler
from grpclib.events import RecvRequest, _DispatchServerEvents

from ziggurat.services.channel.method import Method, methods_of


async def serve(call: Any) -> None:
    raise AssertionError


def test_a_method_knows_what_its_calls_have_in_common(raw_codec: Any) -> None:
    mapping = {"/a/b": Handler(serve, Cardinality.UNARY_STREAM, bytes, str)}
    [(name, method)] = methods_of(mapping, codec=raw_codec).items()
    assert (name, method.name, method.func) == ("/a/b", "/a/b", serve)
    assert (method.streams_requests, method.streams_responses) == (False, True)
    assert (method.request_type, method.reply_type) == (bytes, str)
    assert dict(method.head.fields)[b"content-type"] == b"application/grpc+raw"
    assert b"grpc-encoding" not in dict(method.head.fields)
    assert dict(method.gzip_head.fields)[b"grpc-encoding"] == b"gzip"


async def listener(event: Any) -> None:
    raise AssertionError


def test_it_knows_whether_anybody_listens(raw_codec: Any) -> None:
    dispatch = _DispatchServerEvents()
    entry = Handler(serve, Cardinality.UNARY_UNARY, bytes, bytes)
    method = Method("/a/b", entry, codec=raw_codec, dispatch=dispatch)
    assert not method.listened("recv_request")
    dispatch.add_listener(RecvRequest, listener)
    assert method.listened("recv_request")
    assert not method.listened("send_message")
    assert not Method("/a/b", entry, codec=raw_codec).listened("recv_request")
