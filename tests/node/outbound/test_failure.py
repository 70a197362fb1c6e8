from __future__ import annotations

import errno

import pytest

from ziggurat.layers.tor import TorReply
from ziggurat.node.handshake.rejection import HandshakeError, Kind
from ziggurat.node.outbound.failure import Cause, cause_of, is_proxy_failure
from ziggurat.services import (
    ConnectError,
    ConnectRefused,
    ConnectTimeout,
    Http2Error,
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


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_status_about_the_target_is_the_targets_fault(status: int) -> None:
    error = ProxyRefused("no", status=status)

    assert not is_proxy_failure(error, proxied=True)
    assert cause_of(error, proxied=True) is Cause.TARGET


@pytest.mark.parametrize("status", [302, 400, 403, 404, 407, 429, 500, 501])
def test_a_probe_blames_the_proxy_for_any_other_status(status: int) -> None:
    assert is_proxy_failure(ProxyRefused("no", status=status), proxied=True)


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (ProxyRefused("the port is not allowed", status=403), Cause.TARGET),
        (ProxyRefused("bad", status=400), Cause.TARGET),
        (ProxyRefused("fault", status=500), Cause.TARGET),
        (ProxyRefused("a portal", status=302), Cause.PROXY),
        (ProxyRefused("too many", status=429), Cause.PROXY),
        (ProxyAuthError("no", status=407), Cause.PROXY),
        (ProxyProtocolError("an odd answer", status=101), Cause.PROXY),
        (ProxyRefused("rejected or failed", reply_code=0x5B), Cause.TARGET),
        (ProxyAuthError("no identd", reply_code=0x5C), Cause.PROXY),
    ],
)
def test_one_refused_target_is_no_outage_of_the_proxy(error: ConnectError, cause: Cause) -> None:
    assert cause_of(error, proxied=True) is cause


@pytest.mark.parametrize("error", [ProxyAuthError("no"), ProxyProtocolError("HTTP")])
def test_a_proxy_that_speaks_otherwise_is_to_blame(error: ConnectError) -> None:
    assert is_proxy_failure(error, proxied=True)


@pytest.mark.parametrize("phase", ["dns", "tcp", "unix", "tls", "proxy.greeting", "proxy.auth"])
def test_what_fails_before_the_request_is_the_proxys_fault(phase: str) -> None:
    assert is_proxy_failure(in_phase(ConnectTimeout(1.0, "reach proxy"), phase), proxied=True)


@pytest.mark.parametrize("phase", ["proxy.connect", "http2", "handshake"])
def test_what_fails_behind_it_is_not(phase: str) -> None:
    assert not is_proxy_failure(in_phase(ConnectTimeout(60.0, "tunnel"), phase), proxied=True)


def test_without_a_proxy_no_proxy_is_to_blame() -> None:
    assert not is_proxy_failure(in_phase(ConnectRefused("no"), "tcp"), proxied=False)


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (HandshakeError(Kind.DUPLICATE, "reason", by_peer=True), Cause.NEUTRAL),
        (HandshakeError(Kind.BUSY, "reason", by_peer=True), Cause.NEUTRAL),
        (HandshakeError(Kind.SELF, "reason", by_peer=True), Cause.TARGET),
        (LimitExceeded("full"), Cause.NEUTRAL),
        (ConnectTimeout(1.0, "reach peer"), Cause.TARGET),
        (ConnectRefused("no"), Cause.TARGET),
    ],
)
def test_without_a_proxy_a_failure_is_the_targets_unless_it_is_nobodys(error: ConnectError, cause: Cause) -> None:
    assert cause_of(error, proxied=False) is cause


def with_errno(*numbers: int) -> ConnectError:
    error = ConnectError("no way")
    error.__cause__ = ExceptionGroup("all", [OSError(number, "system") for number in numbers])
    return error


def test_a_machine_without_a_route_is_a_network_that_is_away() -> None:
    assert cause_of(with_errno(errno.ENETUNREACH), proxied=False) is Cause.NETWORK
    assert cause_of(with_errno(errno.EAFNOSUPPORT), proxied=False) is Cause.NETWORK  # IPv6 is switched off


def test_a_process_without_descriptors_counts_against_nothing() -> None:
    assert cause_of(with_errno(errno.EMFILE), proxied=False) is Cause.NEUTRAL


def test_a_refusal_is_the_targets_whatever_ring_its_causes_make() -> None:
    error = ConnectRefused("no")
    error.__cause__ = OSError(errno.ECONNREFUSED, "refused")
    error.__cause__.__cause__ = error

    assert cause_of(error, proxied=False) is Cause.TARGET


@pytest.mark.parametrize("code", [1, 2, 3, 4, 5, 6, 0xF0, 0xF7])
def test_a_proxy_that_answers_a_request_works(code: int) -> None:
    """Tor replies 0x01 for a private address that a peer gossiped."""
    assert cause_of(in_phase(ProxyRefused("no", reply_code=code), "proxy.connect"), proxied=True) is Cause.TARGET


@pytest.mark.parametrize(
    "error",
    [
        in_phase(ConnectRefused("no"), "tcp"),
        ProxyAuthError("no"),
        ProxyProtocolError("HTTP"),
        ProxyRefused("no", reply_code=7),
    ],
)
def test_a_proxy_that_is_not_there_or_does_not_work_is_away(error: ConnectError) -> None:
    assert cause_of(error, proxied=True) is Cause.PROXY


@pytest.mark.parametrize("code", list(TorReply))
def test_tor_blames_a_peer_only_where_its_code_does(code: TorReply) -> None:
    error = in_phase(ProxyRefused("no", reply_code=code), "proxy.connect")

    assert (cause_of(error, proxied=True, tor=True) is Cause.TARGET) == (code.fault == "target")
    assert cause_of(error, proxied=True, tor=True) is not Cause.PROXY  # it answers, so it works


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (in_phase(ConnectTimeout(120.0, "tunnel"), "proxy.connect"), Cause.NEUTRAL),
        (in_phase(ConnectTimeout(10.0, "http2"), "http2"), Cause.NEUTRAL),
        (in_phase(ConnectTimeout(1.0, "reach proxy"), "tcp"), Cause.PROXY),
        (in_phase(ConnectRefused("no"), "tcp"), Cause.PROXY),
        (in_phase(ProxyProtocolError("cut off"), "proxy.connect"), Cause.PROXY),  # Tor was killed
        (in_phase(Http2Error("cut off", transient=True), "http2"), Cause.NEUTRAL),
        (in_phase(Http2Error("not HTTP/2", transient=False), "http2"), Cause.TARGET),
        (in_phase(ProxyRefused("no", reply_code=0xF9), "proxy.connect"), Cause.PROXY),  # no code of Tor's
        (HandshakeError(Kind.SELF, "reason", by_peer=True), Cause.TARGET),
        (HandshakeError(Kind.BUSY, "reason", by_peer=True), Cause.NEUTRAL),
    ],
)
def test_behind_tor_a_circuit_may_be_to_blame(error: ConnectError, cause: Cause) -> None:
    assert cause_of(error, proxied=True, tor=True) is cause


def test_without_a_proxy_it_does_not_matter_that_there_is_a_tor() -> None:
    error = in_phase(ConnectTimeout(1.0, "reach peer"), "http2")

    assert cause_of(error, proxied=False, tor=True) is Cause.TARGET
