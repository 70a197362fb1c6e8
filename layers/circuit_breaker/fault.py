"""Whose fault a failed dial is: the target's, or that of a proxy on the way.

A breaker guards what its layer is asked to dial: above a proxy layer that is the target, below it the proxy. `by_hop`
says whether the error is the fault of that hop::

    error                                               is the fault of
    dns, tcp, unix, tls, http2                          whom the phase deals with
    a proxy's refusal: any reply or status, see below   whom the proxy was asked for
    HTTP 429, and 5xx other than 502, 503, 504          the proxy
    not the proxy's protocol, or not our credentials    the proxy
    a timeout in proxy.connect, after a greeting        whom the proxy was asked for
    any other timeout in a proxy's phase                the proxy
    a limit, another breaker, a route, no endpoints     nobody

A proxy that refuses is alive, whatever it says: its breaker is for a proxy that is not there. Many proxies answer with
the general failure (01) where the target cannot be reached.
"""

from __future__ import annotations

from ziggurat.services.errors import (
    AllFailed,
    ConnectError,
    ConnectTimeout,
    LimitExceeded,
    NoEndpoints,
    ProxyRefused,
    RouteRefused,
)
from ziggurat.services.uri import Uri

__all__ = ["by_hop"]

REACHED_THE_TARGETS_SIDE = (502, 503, 504)
"""Statuses with which an HTTP proxy says that it did not reach the target."""


def by_hop(uri: Uri, error: ConnectError) -> bool:
    """Return whether ``error`` is the fault of ``uri``, a target or a proxy.

    In a chain of proxies, where one refuses to connect to the next, that is the fault of both the next proxy and the
    target: nothing in the error tells them apart.
    """
    if isinstance(error, AllFailed):
        return any(by_hop(uri, each) for each in error.errors)
    if isinstance(error, (LimitExceeded, NoEndpoints, RouteRefused)) or error.phase == "admission":
        return False
    here = uri == error.target if error.via is None else error.via in (uri.authority, uri.host)
    return not here if _speaks_of_another(error) else here


def _speaks_of_another(error: ConnectError) -> bool:
    """Whether a proxy, the error's ``via``, is alive and could not reach what it was asked for."""
    if isinstance(error, ProxyRefused):
        status = error.status
        return status is None or status in REACHED_THE_TARGETS_SIDE or not (status == 429 or status >= 500)
    return isinstance(error, ConnectTimeout) and error.phase == "proxy.connect" and _has_greeted(error)


def _has_greeted(error: ConnectError) -> bool:
    phases = [] if error.ledger is None else error.ledger.phases
    return any(entry.name == "proxy.greeting" and entry.via == error.via and entry.outcome == "ok" for entry in phases)
