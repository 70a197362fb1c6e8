from __future__ import annotations

import errno

import pytest

from ziggurat.node.handshake.rejection import HandshakeError, Kind
from ziggurat.node.outbound.failure import counts_against_target, is_proxy_failure
from ziggurat.services import (
    ConnectError,
    ConnectRefused,
    ConnectTimeout,
    LimitExceeded,
    ProxyAuthError,
    ProxyProtocolError,
    ProxyRefused,
)


def in_phase(error: ConnectError, phase: str) -> ConnectError:
    error.phase = phase
    return error


@pytest.mark.parametrize("code", [3, 4, 5, 6, 0xF0, 0xF7])
def test_a_reply_about_the_target_is_the_targets_fault(code: int) -> None:
    assert not is_proxy_failure(ProxyRefused("no", reply_code=code), proxied=True)


@pytest.mark.parametrize("code", [1, 2, 7, 8, 9, 0xEF, 0xF8, 0xFF, None])
def test_any_other_reply_is_the_proxys_fault(code: int | None) -> None:
    assert is_proxy_failure(ProxyRefused("no", reply_code=code), proxied=True)


@pytest.mark.parametrize("error", [ProxyAuthError("no"), ProxyProtocolError("HTTP")])
def test_a_failed_negotiation_with_the_proxy_is_the_proxys_fault(error: ConnectError) -> None:
    assert is_proxy_failure(error, proxied=True)


@pytest.mark.parametrize("phase", ["dns", "tcp", "unix", "proxy.greeting", "proxy.auth"])
def test_a_failure_before_the_request_is_the_proxys_fault(phase: str) -> None:
    assert is_proxy_failure(in_phase(ConnectTimeout(1.0, "reach proxy"), phase), proxied=True)


@pytest.mark.parametrize("phase", ["proxy.connect", "http2", "handshake"])
def test_a_failure_after_the_request_is_not_the_proxys_fault(phase: str) -> None:
    assert not is_proxy_failure(in_phase(ConnectTimeout(60.0, "tunnel"), phase), proxied=True)


def test_without_a_proxy_no_failure_is_the_proxys_fault() -> None:
    assert not is_proxy_failure(in_phase(ConnectRefused("no"), "tcp"), proxied=False)


@pytest.mark.parametrize(("kind", "neutral"), [(Kind.DUPLICATE, True), (Kind.BUSY, True), (Kind.SELF, False)])
def test_a_duplicate_or_busy_peer_does_not_count_against_the_target(kind: Kind, neutral: bool) -> None:
    error = HandshakeError(kind, "reason", by_peer=True)

    assert counts_against_target(error, proxied=False) is not neutral


def test_our_own_limit_does_not_count_against_the_target() -> None:
    assert not counts_against_target(LimitExceeded("full"), proxied=False)


def test_a_machine_without_a_network_does_not_count_against_the_target() -> None:
    error = ConnectError("no way")
    error.__cause__ = ExceptionGroup("all", [OSError(errno.ENETUNREACH, "unreachable")])

    assert not counts_against_target(error, proxied=False)


def test_a_refused_connection_counts_against_the_target() -> None:
    error = ConnectRefused("no")
    error.__cause__ = OSError(errno.ECONNREFUSED, "refused")
    error.__cause__.__cause__ = error

    assert counts_against_target(error, proxied=False)
