"""What a request is answered with, by its headers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.node.inbound.request import MalformedRequest, judge
from ziggurat.node.wire import MESSAGE_STREAM

GOOD = {
    ":method": "POST",
    ":path": MESSAGE_STREAM,
    "content-type": "application/grpc",
    "te": "trailers",
}


def answer(**changed: str) -> dict[str, str]:
    headers = GOOD | {name.replace("_", "-"): value for name, value in changed.items()}
    return dict(judge(list(headers.items())) or [])


@pytest.mark.parametrize("kind", ["application/grpc", "application/grpc+proto"])
def test_the_message_stream_is_served(kind: str) -> None:
    assert answer(content_type=kind) == {}


@pytest.mark.parametrize("name", [":method", ":path"])
@pytest.mark.parametrize("value", [None, ""])
def test_a_request_without_a_pseudo_header_is_malformed(name: str, value: str | None) -> None:
    headers = {**GOOD, name: value}
    with pytest.raises(MalformedRequest, match=f"^the request has no {name}$"):
        judge([(key, text) for key, text in headers.items() if text is not None])


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [(":method", "GET", "405"), ("content-type", "text/html", "415"), ("te", "gzip", "400"), (":path", "/", "200")],
)
def test_a_request_for_anything_else_is_answered(name: str, value: str, status: str) -> None:
    assert dict(judge(list((GOOD | {name: value}).items())) or [])[":status"] == status


def test_another_method_is_unimplemented() -> None:
    assert dict(judge(list((GOOD | {":path": "/protowire.RPC/MessageStream"}).items())) or [])["grpc-status"] == "12"


@given(st.lists(st.tuples(st.sampled_from([*GOOD, "grpc-timeout", "x-bin", ""]) | st.text(), st.text())))
def test_no_headers_raise_anything_else(headers: list[tuple[str, str]]) -> None:
    try:
        answer = judge(headers)
    except MalformedRequest:
        assert not all(dict(headers).get(name) for name in (":method", ":path"))
    else:
        assert (answer is None) == (dict(headers).items() >= GOOD.items())
