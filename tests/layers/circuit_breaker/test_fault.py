"""The table of `by_hop`."""

from __future__ import annotations

import pytest

from ziggurat.layers.circuit_breaker.fault import by_hop
from ziggurat.services import (
    AllFailed,
    CircuitOpen,
    ConnectError,
    ConnectRefused,
    ConnectTimeout,
    Http2Error,
    LimitExceeded,
    NoEndpoints,
    ProxyAuthError,
    ProxyProtocolError,
    ProxyRefused,
    ResolveError,
    RouteRefused,
    TlsError,
    Uri,
    dial,
    phase,
)

TARGET = Uri.parse("https://target.test:443")
PROXY = Uri.parse("socks5://proxy.test:1080")
OTHER = Uri.parse("socks5://other.test:1080")
P = PROXY.authority


def failed(error: ConnectError, *phases: tuple[str, str | None]) -> ConnectError:
    """The error as it leaves a dial whose last phase failed."""
    try:
        with dial(TARGET):
            for name, via in phases[:-1]:
                with phase(name, via=via):
                    pass
            with phase(phases[-1][0], via=phases[-1][1]):
                raise error
    except ConnectError as caught:
        return caught
    raise AssertionError


@pytest.mark.parametrize(
    ("error", "where", "culprit"),
    [
        (ConnectRefused("no"), ("tcp", None), TARGET),
        (ResolveError("no"), ("dns", None), TARGET),
        (TlsError("no"), ("tls", "target.test"), TARGET),
        (Http2Error("no"), ("http2", None), TARGET),
        (ConnectTimeout(1.0, "all"), ("http2", None), TARGET),
        (ConnectRefused("no"), ("tcp", P), PROXY),
        (ResolveError("no"), ("dns", P), PROXY),
        (TlsError("no"), ("tls", "proxy.test"), PROXY),
        (ProxyAuthError("no"), ("proxy.auth", P), PROXY),
        (ProxyProtocolError("no"), ("proxy.connect", P), PROXY),
        (ConnectTimeout(1.0, "handshake_timeout"), ("proxy.greeting", P), PROXY),
        (ConnectTimeout(1.0, "timeout"), ("proxy.connect", P), PROXY),  # e.g. an HTTP proxy, without a greeting
        (ProxyRefused("no", reply_code=1), ("proxy.connect", P), TARGET),
        (ProxyRefused("no", reply_code=5), ("proxy.connect", P), TARGET),
        (ProxyRefused("no", reply_code=0xF0), ("proxy.connect", P), TARGET),
        (ProxyRefused("no", status=403), ("proxy.connect", P), TARGET),
        (ProxyRefused("no", status=502), ("proxy.connect", P), TARGET),
        (ProxyRefused("no", status=504), ("proxy.connect", P), TARGET),
        (ProxyRefused("no", status=500), ("proxy.connect", P), PROXY),
        (ProxyRefused("no", status=429), ("proxy.connect", P), PROXY),
        (LimitExceeded("no"), ("admission", None), None),
        (CircuitOpen("no", 1.0), ("admission", None), None),
        (ConnectTimeout(1.0, "max_wait"), ("admission", None), None),
        (RouteRefused("no"), ("route", None), None),
        (NoEndpoints("no"), ("balance", None), None),
    ],
)
async def test_an_error_is_the_fault_of_one_hop(
    error: ConnectError, where: tuple[str, str | None], culprit: Uri | None
) -> None:
    caught = failed(error, where)
    assert [uri for uri in (TARGET, PROXY) if by_hop(uri, caught)] == ([] if culprit is None else [culprit])


async def test_in_a_chain_a_proxy_that_cannot_be_reached_is_at_fault() -> None:
    """Dialled through another proxy, which says so. The target is blamed, too, since the error does not tell."""
    error = failed(ProxyRefused("no", reply_code=5), ("proxy.connect", P))
    assert by_hop(OTHER, error)
    assert not by_hop(PROXY, error)


async def test_after_a_greeting_a_silent_proxy_waits_for_the_target() -> None:
    error = failed(ConnectTimeout(1.0, "connect_timeout"), ("proxy.greeting", P), ("proxy.connect", P))
    assert by_hop(TARGET, error)
    assert not by_hop(PROXY, error)


async def test_the_greeting_of_another_proxy_does_not_count() -> None:
    error = failed(ConnectTimeout(1.0, "timeout"), ("proxy.greeting", OTHER.authority), ("proxy.connect", P))
    assert by_hop(PROXY, error)
    assert not by_hop(TARGET, error)


async def test_of_several_errors_one_is_enough() -> None:
    dead, refusing = failed(ConnectRefused("no"), ("tcp", P)), failed(ProxyRefused("no"), ("proxy.connect", P))
    assert not by_hop(TARGET, AllFailed("2 branches", [dead, dead]))
    assert by_hop(PROXY, AllFailed("2 branches", [dead, dead]))
    assert by_hop(TARGET, AllFailed("2 branches", [dead, refusing]))
