"""The description of a dial, without dialling."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import pytest
from anyio.abc import ByteStream

from ziggurat.layers.layer import Stack
from ziggurat.services import Backoff, Endpoint, SocketConnector, TcpConnector, UnixConnector, Uri, service_fn
from ziggurat.services.service import Connector


@dataclass(frozen=True)
class NamedLayer:
    name: str

    def layer(self, inner: Connector, /) -> Connector:
        return inner

    def __repr__(self) -> str:
        return self.name


async def dial_it(uri: Uri) -> ByteStream:
    raise NotImplementedError


def warnings_of(text: str) -> list[str]:
    return [line.strip() for line in text.partition("warnings:")[2].splitlines() if line]


def test_the_stack_is_listed_outermost_first_one_layer_per_line() -> None:
    stack = Stack((NamedLayer("Logging()"), NamedLayer("Socks5Layer('proxy')")), TcpConnector(timeout=5.0))
    lines = Endpoint("http://far.example").describe(stack).splitlines()
    start = lines.index("stack, outermost first:")
    assert lines[0] == "dial http://far.example:80 (request origin http://far.example)"
    assert lines[start + 1 : start + 4] == ["  Logging()", "  Socks5Layer('proxy')", f"  {TcpConnector(timeout=5.0)!r}"]


@pytest.mark.parametrize(
    ("connector", "line"),
    [(dial_it, "dial_it"), (service_fn(dial_it, "mine"), "mine"), (TcpConnector(), "TcpConnector(")],
)
def test_any_connector_has_a_name(connector: Any, line: str) -> None:
    assert f"  {line}" in Endpoint("http://far.example").describe(connector)


def test_every_setting_is_listed() -> None:
    text = Endpoint("http://far.example", call_timeout=3.0, origin="https://api.example").describe(dial_it)
    for field in fields(Endpoint):
        assert field.name == "target" or f"  {field.name}=" in text
    assert "call_timeout=3.0" in text
    assert "origin='https://api.example'" in text
    assert "ziggurat/" in text


def test_the_path_into_http2_is_described_as_far_as_it_is_known() -> None:
    tls = Stack((NamedLayer("TlsLayer()"),), TcpConnector())
    for uri, connector in (("https://far.example", tls), ("http://far.example", TcpConnector())):
        assert "hand-over if the outermost stream is exactly a TransportStream or a TlsStream, else pump" in Endpoint(
            uri
        ).describe(connector)


def test_a_sound_endpoint_has_no_warnings() -> None:
    assert "warnings" not in Endpoint("http://far.example", connect_timeout=5.0).describe(TcpConnector())
    assert "warnings" not in Endpoint("unix:/run/far.sock").describe(UnixConnector())
    assert "warnings" not in Endpoint("unix:/run/far.sock").describe(SocketConnector())
    assert "warnings" not in Endpoint("https://far.example").describe(
        Stack((NamedLayer("TlsLayer()"),), SocketConnector())
    )


@pytest.mark.parametrize(
    ("kwargs", "connector", "words"),
    [
        ({"target": "https://far.example"}, TcpConnector(), ["will fail", "far.example", "TlsLayer"]),
        ({"target": "unix:/run/far.sock"}, TcpConnector(), ["will fail", "SocketConnector"]),
        ({"target": "unix:/x"}, Stack((NamedLayer("L"),), TcpConnector()), ["will fail", "SocketConnector"]),
        ({}, UnixConnector(), ["will fail", "SocketConnector"]),
        ({"http2_keepalive_timeout": 5.0}, TcpConnector(), ["no effect", "http2_keepalive_timeout"]),
        ({"http2_keepalive_while_idle": True}, TcpConnector(), ["no effect", "http2_keepalive_while_idle"]),
        ({"connect_timeout": 5.0, "http2_timeout": 6.0}, TcpConnector(), ["no effect", "http2_timeout"]),
        ({"http2_timeout": None}, TcpConnector(), ["may hang", "http2_timeout"]),
        ({"wait_for_ready": True}, TcpConnector(), ["may hang", "wait_for_ready"]),
        ({"stream_window": 2**23}, TcpConnector(), ["no effect", "stream_window"]),
        ({"max_unread": 2**20}, TcpConnector(), ["no effect", "max_unread"]),
        ({"max_message_size": None}, TcpConnector(), ["memory", "max_message_size"]),
    ],
)
def test_a_warning_says_what_will_fail_or_has_no_effect(
    kwargs: dict[str, Any], connector: Any, words: list[str]
) -> None:
    (warning,) = warnings_of(Endpoint(**{"target": "http://far.example", **kwargs}).describe(connector))
    assert all(word in warning for word in words)


def test_no_warning_if_the_setting_has_an_effect() -> None:
    endpoint = Endpoint(
        "http://far.example",
        http2_keepalive_interval=10.0,
        http2_keepalive_timeout=5.0,
        http2_keepalive_while_idle=True,
        wait_for_ready=True,
        call_timeout=30.0,
        connect_timeout=20.0,
        backoff=Backoff(2.0),
    )
    assert warnings_of(endpoint.describe(TcpConnector())) == []
