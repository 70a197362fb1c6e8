"""The system's words for what went wrong."""

from __future__ import annotations

import os
import ssl
from socket import gaierror

__all__ = ["reason", "system_error"]


def system_error(error: BaseException) -> BaseException:
    """The error that the system gave: anyio hides it in the cause of an ``OSError`` or resource error of its own."""
    cause = error.__cause__
    has_number = isinstance(error, OSError) and error.errno is not None
    return system_error(cause) if isinstance(cause, OSError) and not has_number else error


def reason(error: BaseException) -> str:
    """Say what the system said, in its own words: ``connection refused``."""
    error = system_error(error)
    if isinstance(error, OSError) and not isinstance(error, (gaierror, ssl.SSLError)) and error.errno is not None:
        return os.strerror(error.errno).lower()
    return str(error) or type(error).__name__
