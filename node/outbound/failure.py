"""Classify a failed dial: was it the proxy, a network of this machine, or the target?"""

from __future__ import annotations

import enum
import errno
from typing import cast

from ziggurat.layers.events import Level
from ziggurat.layers.tor import TorReply
from ziggurat.node.handshake import HandshakeError, Kind
from ziggurat.services import ConnectError, ConnectTimeout, LimitExceeded, ProxyError, ProxyProtocolError

__all__ = ["Cause", "cause_of", "failure_level", "is_proxy_failure"]

ABOUT_THE_TARGET = frozenset({*range(0x03, 0x07), *range(0xF0, 0xF8)})
"""Replies for a target that the proxy could not reach: RFC 1928 section 6, and Tor's own for onion services
(socks-extensions)."""

STATUS_ABOUT_THE_TARGET = frozenset({502, 503, 504})
"""An HTTP proxy's answers for a target that it could not reach (RFC 9110 section 15.6)."""

REFUSED_THE_REQUEST = frozenset({0x01, 0x02, 0x5B})
"""General failure, not allowed by the ruleset, and SOCKS4's word for both. The proxy works: it understood the request
and answered it. Tor says 0x01 for a private address."""

STATUS_ABOUT_THE_PROXY = frozenset({*range(300, 400), 401, 407, 429})
"""An HTTP proxy's answers that any target would get: a portal to log in to, credentials, too many requests. Any other,
e.g. 403 for a port that is not allowed, is its word on this target."""

BEFORE_THE_REQUEST = frozenset({"dns", "tcp", "unix", "tls", "proxy.greeting", "proxy.auth"})
"""Phases of a dial through a proxy that come before the target is named. A peer of ours speaks no TLS: a proxy may."""

NO_NETWORK = frozenset({errno.ENETUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
"""This machine has no route, or not even the family: every target of the network fails in the same way."""

NO_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE})
"""This process, or this machine, has no socket left."""

NEUTRAL = frozenset({Kind.DUPLICATE, Kind.BUSY})
"""The peer is connected already; or it has no room, which behind a shared proxy may be a neighbour's doing."""


class Cause(enum.Enum):
    """What made a dial fail."""

    PROXY = "the proxy was not reached, or does not work"
    NETWORK = "this machine has no route"
    TARGET = "the target was not reached, or is no peer for us"
    NEUTRAL = "nothing that speaks against the target, the proxy or the network"


def cause_of(error: ConnectError, *, proxied: bool, tor: bool = False) -> Cause:
    """Return what made a dial fail.

    Args:
        error: what the dial raised.
        proxied: whether it went through a proxy.
        tor: whether that proxy is known to be Tor. Then its code decides, and nothing is the target's fault that Tor
            does not say is: a circuit that breaks, or is slow, looks like a dead peer.
    """
    if isinstance(error, HandshakeError):
        return Cause.NEUTRAL if error.kind in NEUTRAL else Cause.TARGET
    if proxied and tor and (cause := _told_by_tor(error)) is not None:
        return cause
    if isinstance(error, ProxyError) and _refused_the_request(error):
        return Cause.TARGET
    if is_proxy_failure(error, proxied=proxied):
        return Cause.PROXY
    if _has_errno(error, NO_NETWORK):
        return Cause.NETWORK
    neutral = isinstance(error, LimitExceeded) or _has_errno(error, NO_DESCRIPTORS)
    return Cause.NEUTRAL if neutral else Cause.TARGET


def failure_level(error: BaseException, *, proxied: bool) -> Level:
    """Return the level at which a failed dial is logged: ``debug`` for an outage, which has events of its own."""
    outage = isinstance(error, ConnectError) and cause_of(error, proxied=proxied) in (Cause.PROXY, Cause.NETWORK)
    return "debug" if outage else "warning"


def is_proxy_failure(error: ConnectError, *, proxied: bool) -> bool:
    """Whether a dial tells nothing of its target because the proxy was not reached, or refused the request.

    Args:
        error: what the dial raised.
        proxied: whether it went through a proxy.
    """
    if not proxied:
        return False
    if isinstance(error, ProxyError):
        return error.reply_code not in ABOUT_THE_TARGET and error.status not in STATUS_ABOUT_THE_TARGET
    return error.phase in BEFORE_THE_REQUEST


def _told_by_tor(error: ConnectError) -> Cause | None:
    """Return the cause of a failure behind a Tor that works; ``None`` if it came before that."""
    if isinstance(error, ProxyError) and error.reply_code in _TOR_REPLIES:
        return Cause.TARGET if TorReply(error.reply_code).fault == "target" else Cause.NEUTRAL
    if isinstance(error, ConnectTimeout) and error.phase not in BEFORE_THE_REQUEST:
        return Cause.NEUTRAL
    # Lost before the peer's SETTINGS have come: it may have been the circuit, or Tor itself.
    return Cause.NEUTRAL if error.phase == "http2" and error.transient else None


_TOR_REPLIES = frozenset(TorReply)


def _refused_the_request(error: ProxyError) -> bool:
    if error.status is not None:
        return error.status not in STATUS_ABOUT_THE_PROXY and not isinstance(error, ProxyProtocolError)
    return error.reply_code in REFUSED_THE_REQUEST


def _has_errno(error: BaseException, numbers: frozenset[int]) -> bool:
    seen: BaseException | None = error
    for _ in range(8):  # causes may be a ring
        if seen is None:
            return False
        if isinstance(seen, OSError) and seen.errno in numbers:
            return True
        if isinstance(seen, BaseExceptionGroup):
            group = cast("BaseExceptionGroup[BaseException]", seen).exceptions
            return any(_has_errno(each, numbers) for each in group)
        seen = seen.__cause__
    return False
