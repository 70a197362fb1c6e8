"""The table from a failed dial to the reply code."""

from __future__ import annotations

import errno
import socket

import pytest

from ziggurat.layers.forward.replies import reply_code
from ziggurat.services.errors import (
    AllFailed,
    CircuitOpen,
    ConnectError,
    ConnectRefused,
    ConnectTimeout,
    LimitExceeded,
    NoEndpoints,
    ProxyAuthError,
    ProxyProtocolError,
    ProxyRefused,
    ResolveError,
    RouteRefused,
    TlsError,
)


def failed(
    error: ConnectError, phase: str = "tcp", via: str | None = None, cause: OSError | None = None
) -> ConnectError:
    error.phase, error.via, error.__cause__ = phase, via, cause
    return error


NO_ROUTE = OSError(errno.ENETUNREACH, "")
NO_HOST = OSError(errno.EHOSTUNREACH, "")
REFUSED = ConnectRefused("")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (failed(ConnectRefused("")), 5),
        (failed(ConnectRefused(""), via="proxy:1080"), 1),
        (failed(ConnectError(""), cause=NO_ROUTE), 3),
        (failed(ConnectError(""), cause=NO_ROUTE, via="proxy:1080"), 1),
        (failed(ConnectError(""), cause=NO_HOST), 4),
        (failed(ConnectError(""), cause=OSError(errno.ETIMEDOUT, "")), 6),
        (failed(ConnectError(""), cause=OSError(errno.EACCES, "")), 2),
        (failed(ConnectError(""), cause=socket.gaierror(socket.EAI_NONAME, "")), 4),
        (failed(ConnectError("")), 1),
        (failed(ResolveError(""), "dns"), 4),
        (failed(ResolveError(""), "dns", via="proxy:1080"), 1),
        (failed(ConnectTimeout(1.0, "x")), 6),
        (failed(ConnectTimeout(1.0, "x"), via="proxy:1080"), 1),
        (failed(ConnectTimeout(1.0, "x"), "proxy.greeting", "proxy:1080"), 1),
        (failed(ConnectTimeout(1.0, "x"), "proxy.connect", "proxy:1080"), 6),
        (failed(ConnectTimeout(1.0, "x"), "admission"), 1),
        (failed(TlsError(""), "tls", "a.test"), 1),
        (failed(LimitExceeded(""), "admission"), 1),
        (failed(CircuitOpen("", 1.0), "admission"), 1),
        (NoEndpoints(""), 1),
        (RouteRefused("", "rule 1"), 2),
        (ProxyProtocolError(""), 1),
        (ProxyAuthError("", status=407), 1),
        (ProxyRefused("", status=403), 2),
        (ProxyRefused("", status=502), 4),
        (ProxyRefused("", status=503), 4),
        (ProxyRefused("", status=504), 6),
        (ProxyRefused("", status=429), 1),
        (ProxyRefused("", status=302), 1),
        *[(ProxyRefused("", reply_code=code), code) for code in (1, 2, 3, 4, 5, 6, 8)],
        (ProxyRefused("", reply_code=7), 1),
        *[(ProxyRefused("", reply_code=code), 4) for code in (0xF0, 0xF1, 0xF2, 0xF3, 0xF6)],
        (ProxyRefused("", reply_code=0xF4), 2),
        (ProxyRefused("", reply_code=0xF5), 2),
        (ProxyRefused("", reply_code=0xF7), 6),
        (ProxyRefused("", reply_code=0x5B), 1),
        (ProxyRefused(""), 1),
        (AllFailed("", [ResolveError(""), REFUSED]), 5),
        (AllFailed("", []), 1),
        (RuntimeError("a bug"), 1),
    ],
    ids=lambda value: f"{type(value).__name__}" if isinstance(value, Exception) else str(value),
)
def test_each_failure_has_its_code(error: Exception, code: int) -> None:
    assert reply_code(error) == code
