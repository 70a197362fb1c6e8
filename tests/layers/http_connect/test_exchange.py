"""One request and its response, byte by byte. The layer's tests have the answers of real proxies."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ziggurat.layers.http_connect.exchange import MAX_BODY, MAX_HEAD, Exchange
from ziggurat.services import ProxyProtocolError


def after(data: bytes, split: int = 1 << 20) -> Exchange:
    exchange = Exchange("target:443")
    for start in range(0, len(data), split):
        exchange.receive(data[start : start + split])
    return exchange


def test_the_request_is_given_out_once() -> None:
    exchange = Exchange("[::1]:443", [("X-A", "\xfc")], "Basic abc=")

    assert exchange.outgoing() == (
        b"CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\nX-A: \xfc\r\nProxy-Authorization: Basic abc=\r\n\r\n"
    )
    assert exchange.outgoing() == b""
    assert exchange.confidential
    assert exchange.repeats_credentials("you said abc=, did you not?")
    assert not exchange.repeats_credentials("Basic")


def test_a_request_without_secrets_is_not_confidential() -> None:
    exchange = Exchange("a:1")

    assert not exchange.confidential
    assert not exchange.repeats_credentials("")
    assert Exchange("a:1", [("X", "y")]).confidential


@pytest.mark.parametrize("split", [1, 5, 1 << 20])
def test_fields_come_in_order_and_in_lower_case(split: int) -> None:
    data = b"HTTP/1.1 407 No\r\nProxy-Authenticate: A\r\nX: y, Z\r\nproxy-authenticate:B\r\nContent-Length:3\r\n\r\nabc"
    exchange = after(data, split)

    assert exchange.response is not None
    assert exchange.response[:2] == (407, "No")
    assert exchange.response.all("proxy-authenticate") == ("A", "B")
    assert exchange.response.tokens("x") == {"y", "z"}
    assert (exchange.body, exchange.body_size, exchange.ended, exchange.reusable) == (b"abc", 3, True, True)
    assert repr(exchange.response) == "Response(407)"


@pytest.mark.parametrize(
    ("data", "reusable"),
    [
        (b"HTTP/1.1 407 N\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 407 N\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", True),
        (b"HTTP/1.1 407 N\r\nContent-Length: 3\r\n\r\nab", False),
        (b"HTTP/1.1 407 N\r\nContent-Length: 0\r\n\r\nmore", False),
        (b"HTTP/1.1 407 N\r\nContent-Length: 0\r\nConnection: x, Close\r\n\r\n", False),
        (b"HTTP/1.1 407 N\r\nContent-Length: 0\r\nProxy-Connection: close\r\n\r\n", False),
        (b"HTTP/1.1 407 N\r\n\r\n", False),
        (b"HTTP/1.0 407 N\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.0 407 N\r\nContent-Length: 0\r\nConnection: Keep-Alive\r\n\r\n", True),
        (b"HTTP/1.0 407 N\r\nContent-Length: 0\r\nProxy-Connection: keep-alive\r\n\r\n", True),
        (b"HTTP/1.1 200 N\r\n\r\n", False),
        (b"HTTP/1.1 407 N\r\n", False),
    ],
)
def test_whether_the_connection_takes_another_request(data: bytes, reusable: bool) -> None:
    assert after(data).reusable is reusable
    assert after(data, 1).reusable is reusable


def test_a_connection_that_ended_takes_no_request() -> None:
    exchange = after(b"HTTP/1.1 407 N\r\nContent-Length: 0\r\n\r\n")
    exchange.closed(reset=True)

    assert not exchange.reusable


@pytest.mark.parametrize("split", [1, 1 << 20])
def test_the_head_may_have_exactly_its_bound(split: int) -> None:
    start, end = b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 200 OK\r\nX: ", b"\r\n\r\n"
    fitting = start + b"x" * (MAX_HEAD - len(start + end)) + end

    assert after(fitting + b"tunnel", split).rest == b"tunnel"
    with pytest.raises(ProxyProtocolError, match="longer than 16 KiB"):
        after(fitting[:-4] + b"x" + end, split)


def test_of_a_body_only_the_beginning_is_kept() -> None:
    exchange = after(b"HTTP/1.1 403 N\r\n\r\n" + b"x" * 100_000, 5000)

    assert (len(exchange.body), exchange.body_size, exchange.ended) == (MAX_BODY, 100_000, False)
    exchange.closed(reset=False)
    assert exchange.ended
    exchange.receive(b"late")
    assert exchange.body_size == 100_000


@given(st.binary(max_size=60), st.integers(1, 20))
@settings(max_examples=100)
def test_whatever_arrives_is_a_response_or_a_protocol_error(tail: bytes, split: int) -> None:
    for start in (b"", b"HTTP/1.1 ", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 407 N\r\nTransfer-Encoding: chunked\r\n\r\n"):
        try:
            exchange = after(start + tail, split)
            exchange.closed(reset=False)
        except ProxyProtocolError as error:
            refusal = str(error)
        else:
            refusal = ""
            assert exchange.ended
        assert refusal.isprintable()


@given(st.binary(max_size=30), st.lists(st.integers(1, 60), max_size=6))
def test_however_a_response_is_cut_the_tunnel_begins_at_the_same_byte(early: bytes, cuts: list[int]) -> None:
    data = b"HTTP/1.1 100 C\r\n\r\nHTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\n" + early
    exchange, rest = Exchange("a:1"), data
    for size in [*cuts, len(data)]:
        if rest:
            exchange.receive(rest[:size])
            rest = rest[size:]

    assert exchange.open
    assert exchange.rest == early
    assert exchange.informational == [100]
