from __future__ import annotations

import pytest
import structlog

from ziggurat.node.handshake.rejection import HandshakeError, HandshakeTimeout, Kind
from ziggurat.node.outbound.dial_events import tell_failure
from ziggurat.node.peer.info import NamedAddress
from ziggurat.services import ConnectError, ConnectRefused, Http2Error

PEER = NamedAddress("peer.example", 16111)


def told(error: ConnectError, phase: str) -> list[dict[str, object]]:
    error.phase = phase
    structlog.configure()
    with structlog.testing.capture_logs() as events:
        tell_failure(PEER, error)
    return [dict(event) for event in events]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (HandshakeError(Kind.BANNED, "peer is banned", by_peer=True), "the peer rejected us: peer is banned"),
        (HandshakeTimeout(4.0, "Verack"), "the peer sent no Verack within 4 s"),
    ],
)
def test_a_handshake_that_failed_is_a_refusal_with_its_reason(error: HandshakeError, reason: str) -> None:
    [event] = told(error, "handshake")

    assert (event["event"], event["direction"], event["peer"]) == ("peer.refused", "outbound", "peer.example:16111")
    assert event["reason"] == reason


def test_a_peer_that_speaks_no_http2_is_a_failed_dial() -> None:
    [event] = told(Http2Error("it speaks HTTP/1.1", hint="is it a web server?"), "http2")

    assert (event["event"], event["phase"], event["target"]) == ("dial.failed", "http2", "http://peer.example:16111")
    assert event["error"] == "Http2Error: it speaks HTTP/1.1; is it a web server?"


def test_what_the_logging_layer_has_seen_is_not_told_twice() -> None:
    assert told(ConnectRefused("connection refused"), "tcp") == []
