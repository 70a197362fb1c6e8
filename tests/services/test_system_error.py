"""The system's own error is found behind its wrappers."""

from __future__ import annotations

import errno
import socket
import ssl

import anyio
import pytest

from ziggurat.services.system_error import reason, system_error


def caused(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


def test_a_system_error_is_returned_unchanged() -> None:
    error = ConnectionRefusedError(errno.ECONNREFUSED, "whatever")

    assert system_error(error) is error
    assert reason(error) == "connection refused"


def test_it_is_found_behind_an_error_without_an_errno() -> None:
    real = OSError(errno.EHOSTUNREACH, "x")
    hidden = caused(OSError("All connection attempts failed"), caused(anyio.BrokenResourceError(), real))

    assert system_error(caused(anyio.BrokenResourceError(), real)) is real
    # Only an OSError is unwrapped: the resource error in between ends the search.
    assert system_error(hidden) is hidden


def test_it_is_found_through_two_wrappers() -> None:
    real = OSError(errno.ENETUNREACH, "x")

    assert system_error(caused(OSError("outer"), caused(OSError("inner"), real))) is real
    assert reason(caused(OSError("outer"), caused(OSError("inner"), real))) == "network is unreachable"


def test_an_error_with_an_errno_takes_precedence_over_its_cause() -> None:
    error = caused(OSError(errno.ETIMEDOUT, "x"), OSError(errno.EIO, "y"))

    assert system_error(error) is error
    assert reason(error) == "connection timed out"


def test_resolver_and_tls_error_numbers_are_not_taken_for_errnos() -> None:
    assert reason(socket.gaierror(socket.EAI_NONAME, "Name or service not known")).endswith("Name or service not known")
    assert "wrong version" in reason(ssl.SSLError(1, "wrong version"))


def test_an_error_without_an_errno_gives_its_text_or_its_name() -> None:
    assert reason(OSError("AF_UNIX path too long")) == "AF_UNIX path too long"
    assert reason(anyio.EndOfStream()) == "EndOfStream"


@pytest.mark.parametrize("error", [ValueError("v"), KeyError()])
def test_any_exception_has_a_reason(error: Exception) -> None:
    assert reason(error)
