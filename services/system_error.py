"""The system's words for what went wrong."""

from __future__ import annotations

import os
import ssl
from socket import gaierror

__all__ = ["reason"]


def reason(error: BaseException) -> str:
    """Say what the system said: ``connection refused``.

    anyio and asyncio put a phrase of their own in front, or hide the error in a cause.
    """
    cause = error.__cause__
    if isinstance(error, OSError) and not isinstance(error, (gaierror, ssl.SSLError)):
        if error.errno is not None:
            return os.strerror(error.errno).lower()
        if isinstance(cause, OSError):
            return reason(cause)
    if not str(error) and cause is not None:
        return reason(cause)
    return str(error) or type(error).__name__
