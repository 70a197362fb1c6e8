"""Find the operating system's error behind anyio's wrappers, and its text."""

from __future__ import annotations

import os
import ssl
from socket import gaierror

__all__ = ["reason", "system_error"]


def system_error(error: BaseException) -> BaseException:
    """Return the system's own error, which anyio hides as the cause of another ``OSError`` or a resource error."""
    cause = error.__cause__
    has_number = isinstance(error, OSError) and error.errno is not None
    return system_error(cause) if isinstance(cause, OSError) and not has_number else error


def reason(error: BaseException) -> str:
    """Return the system's text for an error, e.g. ``connection refused``."""
    error = system_error(error)
    if isinstance(error, OSError) and not isinstance(error, (gaierror, ssl.SSLError)) and error.errno is not None:
        return os.strerror(error.errno).lower()
    return str(error) or type(error).__name__
