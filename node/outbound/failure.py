"""Classify a failed dial: did the proxy fail, the target, or this machine?"""

from __future__ import annotations

import errno
from typing import cast

from ziggurat.node.handshake import HandshakeError, Kind
from ziggurat.services import ConnectError, LimitExceeded, ProxyError

__all__ = ["counts_against_target", "is_proxy_failure"]

TARGET_REPLY_CODES = frozenset({*range(0x03, 0x07), *range(0xF0, 0xF8)})
"""Replies by which a proxy says that it tried, and the target was not to be had: RFC 1928 section 6, and Tor's own for
onion services (socks-extensions)."""

PROXY_PHASES = frozenset({"dns", "tcp", "unix", "proxy.greeting", "proxy.auth"})
"""Phases of a dial through a proxy in which the target has not been named yet."""

NO_NETWORK_ERRNOS = frozenset({errno.ENETUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL, errno.EMFILE, errno.ENFILE})
"""This machine has no way out, or no socket left: all targets look the same from here."""

NEUTRAL_KINDS = frozenset({Kind.DUPLICATE, Kind.BUSY})
"""We are connected already; or a neighbour behind our proxy has taken the peer's last place for newcomers."""


def is_proxy_failure(error: ConnectError, *, proxied: bool) -> bool:
    """Whether the proxy failed: it was not reached, or did not do its work. A reply about the target is no failure.

    Args:
        error: of a dial.
        proxied: whether the dial went through a proxy.
    """
    if not proxied:
        return False
    if isinstance(error, ProxyError):
        return error.reply_code not in TARGET_REPLY_CODES
    return error.phase in PROXY_PHASES


def counts_against_target(error: ConnectError, *, proxied: bool) -> bool:
    """Whether a failed dial counts against the target, which was asked and is neither connected nor busy."""
    if isinstance(error, HandshakeError):
        return error.kind not in NEUTRAL_KINDS
    return not (isinstance(error, LimitExceeded) or is_proxy_failure(error, proxied=proxied) or _has_no_network(error))


def _has_no_network(error: BaseException) -> bool:
    seen: BaseException | None = error
    for _ in range(8):  # causes may be a ring
        if seen is None:
            return False
        if isinstance(seen, OSError) and seen.errno in NO_NETWORK_ERRNOS:
            return True
        if isinstance(seen, BaseExceptionGroup):
            return any(map(_has_no_network, cast("BaseExceptionGroup[BaseException]", seen).exceptions))
        seen = seen.__cause__
    return False
