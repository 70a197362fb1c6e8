"""What a request is answered with, by its headers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.node.inbound.request import RequestHandler
from ziggurat.node.wire import MESSAGE_STREAM, MessageCodec
from ziggurat.services.http2 import HeaderSection

pytestmark = pytest.mark.asyncio_only

GOOD = {
    ":method": "POST",
    ":scheme": "http",
    ":path": MESSAGE_STREAM,
    "content-type": "application/grpc",
    "te": "trailers",
}


class Judge:
    """A handler that is asked, and starts nothing."""

    def __init__(self) -> None:
        self.refused: list[str] = []
        self.handler = RequestHandler(self.serve, MessageCodec(), self.refused.append)

    async def serve(self, call: Any) -> None:
        raise AssertionError

    def answer(self, headers: dict[str, str]) -> dict[str, str]:
        section = HeaderSection(tuple((name.encode(), value.encode()) for name, value in headers.items()))
        refusal = self.handler.judge(self.handler.open(section))
        if refusal is None:
            return {}
        template, own = refusal.fields
        return {name.decode(): value.decode() for name, value in (*template.fields, *own)}


async def answer(**changed: str) -> dict[str, str]:
    judge = Judge()
    answer = judge.answer(GOOD | {name.replace("_", "-"): value for name, value in changed.items()})
    assert bool(answer) == bool(judge.refused)
    return answer


@pytest.mark.parametrize("kind", ["application/grpc", "application/grpc+proto", "Application/GRPC; charset=x"])
async def test_the_message_stream_is_served(kind: str) -> None:
    assert await answer(content_type=kind) == {}


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [(":method", "GET", "405"), ("content-type", "text/html", "415"), ("te", "gzip", "400"), (":path", "/", "200")],
)
async def test_a_request_for_anything_else_is_answered(name: str, value: str, status: str) -> None:
    assert Judge().answer(GOOD | {name: value})[":status"] == status


async def test_another_method_is_unimplemented() -> None:
    judge = Judge()
    assert judge.answer(GOOD | {":path": "/protowire.RPC/MessageStream"})["grpc-status"] == "12"
    assert judge.refused == [f"a request for /protowire.RPC/MessageStream instead of {MESSAGE_STREAM}"]


async def test_an_encoding_that_cannot_be_read_is_unimplemented() -> None:
    assert (await answer(grpc_encoding="zstd"))["grpc-status"] == "12"


@pytest.mark.parametrize(("name", "value"), [("grpc-timeout", "soon"), ("x-bin", "?"), ("grpc-timeout", "1n")])
async def test_timeouts_and_metadata_are_not_read(name: str, value: str) -> None:
    judge = Judge()
    assert judge.answer(GOOD | {name: value}) == {}
    section = HeaderSection(((b":method", b"POST"), (b"grpc-timeout", b"1n")))
    assert judge.handler.time_limit(judge.handler.open(section)) is None


@given(st.dictionaries(st.sampled_from([*GOOD, "grpc-timeout", "x-bin", ""]) | st.text(max_size=9), st.text()))
async def test_no_headers_raise(headers: dict[str, str]) -> None:
    given = GOOD | headers
    fields = tuple((name.encode(errors="replace"), value.encode(errors="replace")) for name, value in given.items())
    section = HeaderSection(fields)
    if section.fault is None:
        judge = Judge()
        refusal = judge.handler.judge(judge.handler.open(section))
        assert (refusal is None) or refusal.fields
