"""Classify failed dials: the fault of the proxy, of the target, or of this machine."""

from __future__ import annotations

import errno
from typing import cast

from ziggurat.node.handshake import HandshakeError, Kind
from ziggurat.services import ConnectError, LimitExceeded, ProxyError

__all__ = ["counts_against_target", "is_proxy_failure"]

TARGET_REPLY_CODES = frozenset({*range(0x03, 0x07), *range(0xF0, 0xF8)})
"""SOCKS5 replies that say that the proxy tried and the target failed: RFC 1928 section 6, and Tor's replies for onion
services (socks-extensions)."""

PROXY_PHASES = frozenset({"dns", "tcp", "unix", "proxy.greeting", "proxy.auth"})
"""Phases of a proxied dial that come before the proxy learns the target."""

NO_NETWORK_ERRNOS = frozenset({errno.ENETUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL, errno.EMFILE, errno.ENFILE})
"""This machine has no network or no free socket, so any dial would fail."""

NEUTRAL_KINDS = frozenset({Kind.DUPLICATE, Kind.BUSY})
"""We are already connected, or the peer has too many handshakes under way, perhaps others' through the same proxy."""


def is_proxy_failure(error: ConnectError, *, proxied: bool) -> bool:
    """Return whether the proxy failed: it was unreachable, or refused for a reason other than the target.

    Args:
        error: the dial's error.
        proxied: whether the dial went through a proxy.
    """
    if not proxied:
        return False
    if isinstance(error, ProxyError):
        return error.reply_code not in TARGET_REPLY_CODES
    return error.phase in PROXY_PHASES


def counts_against_target(error: ConnectError, *, proxied: bool) -> bool:
    """Return whether a failed dial counts against the target: it was tried, and is neither connected nor busy."""
    if isinstance(error, HandshakeError):
        return error.kind not in NEUTRAL_KINDS
    return not (isinstance(error, LimitExceeded) or is_proxy_failure(error, proxied=proxied) or _has_no_network(error))


def _has_no_network(error: BaseException) -> bool:
    seen: BaseException | None = error
    for _ in range(8):  # causes may form a cycle
        if seen is None:
            return False
        if isinstance(seen, OSError) and seen.errno in NO_NETWORK_ERRNOS:
            return True
        if isinstance(seen, BaseExceptionGroup):
            return any(map(_has_no_network, cast("BaseExceptionGroup[BaseException]", seen).exceptions))
        seen = seen.__cause__
    return False
