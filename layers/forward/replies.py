"""The SOCKS5 reply code (RFC 1928 6) for each way in which a dial can fail.

What the code tells is about the target. A proxy of ours that cannot be reached, or does not accept us, is a general
failure: nothing is wrong with the target, and a client that is told so would strike it off its list.
"""

from __future__ import annotations

import errno
import socket

from ziggurat.services.errors import (
    AllFailed,
    ConnectError,
    ConnectRefused,
    ConnectTimeout,
    ProxyError,
    ProxyRefused,
    ResolveError,
    RouteRefused,
)
from ziggurat.services.system_error import system_error

__all__ = ["reply_code"]

FAILURE, NOT_ALLOWED, NET_UNREACHABLE, HOST_UNREACHABLE, REFUSED, TIMED_OUT = range(1, 7)
BAD_ADDRESS = 8

BY_REPLY = {
    **{code: code for code in (FAILURE, NOT_ALLOWED, NET_UNREACHABLE, HOST_UNREACHABLE, REFUSED, TIMED_OUT)},
    BAD_ADDRESS: BAD_ADDRESS,
    **dict.fromkeys((0xF0, 0xF1, 0xF2, 0xF3, 0xF6), HOST_UNREACHABLE),
    **dict.fromkeys((0xF4, 0xF5), NOT_ALLOWED),
    0xF7: TIMED_OUT,
}
"""By the reply code of a SOCKS5 proxy further on. 07 is missing: it is the proxy that does not know CONNECT."""

BY_STATUS = {403: NOT_ALLOWED, 502: HOST_UNREACHABLE, 503: HOST_UNREACHABLE, 504: TIMED_OUT}
"""By the status of an HTTP proxy further on (RFC 9110 15)."""

BY_ERRNO = {
    errno.ENETUNREACH: NET_UNREACHABLE,
    errno.EHOSTUNREACH: HOST_UNREACHABLE,
    errno.ECONNREFUSED: REFUSED,
    errno.ETIMEDOUT: TIMED_OUT,
    errno.EACCES: NOT_ALLOWED,
    errno.EPERM: NOT_ALLOWED,
}


def reply_code(error: BaseException) -> int:
    """Return the reply code for a failed dial, 1 to 8; for anything but a `ConnectError` it is a general failure."""
    if isinstance(error, AllFailed) and error.errors:
        return reply_code(error.errors[-1])
    if isinstance(error, RouteRefused):
        return NOT_ALLOWED
    if isinstance(error, ProxyRefused):
        if error.status is not None:
            return BY_STATUS.get(error.status, FAILURE)
        return BY_REPLY.get(error.reply_code or 0, FAILURE)
    if not isinstance(error, ConnectError) or isinstance(error, ProxyError):
        return FAILURE
    if isinstance(error, ConnectTimeout) and (error.phase or "").startswith("proxy.connect"):
        return TIMED_OUT  # the proxy was waiting for the target
    if error.via is not None:
        return FAILURE  # our proxy's
    return _of_target(error)


def _of_target(error: ConnectError) -> int:
    if isinstance(error, ResolveError):
        return HOST_UNREACHABLE
    if isinstance(error, ConnectTimeout):
        return FAILURE if error.phase == "admission" else TIMED_OUT
    if isinstance(error, ConnectRefused):
        return REFUSED
    cause = system_error(error)
    if isinstance(cause, socket.gaierror):
        return HOST_UNREACHABLE
    return BY_ERRNO.get(cause.errno or 0, FAILURE) if isinstance(cause, OSError) else FAILURE
