"""The system's own words, found behind whatever wraps them."""

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


def test_a_system_error_is_itself() -> None:
    error = ConnectionRefusedError(errno.ECONNREFUSED, "whatever")

    assert system_error(error) is error
    assert reason(error) == "connection refused"


def test_it_is_found_behind_an_error_without_a_number() -> None:
    real = OSError(errno.EHOSTUNREACH, "x")
    hidden = caused(OSError("All connection attempts failed"), caused(anyio.BrokenResourceError(), real))

    assert system_error(caused(anyio.BrokenResourceError(), real)) is real
    # Only what the system said is dug out: a resource error in between stands for itself.
    assert system_error(hidden) is hidden


def test_it_is_found_through_two_wraps() -> None:
    real = OSError(errno.ENETUNREACH, "x")

    assert system_error(caused(OSError("outer"), caused(OSError("inner"), real))) is real
    assert reason(caused(OSError("outer"), caused(OSError("inner"), real))) == "network is unreachable"


def test_an_error_with_a_number_is_not_left_for_its_cause() -> None:
    error = caused(OSError(errno.ETIMEDOUT, "x"), OSError(errno.EIO, "y"))

    assert system_error(error) is error
    assert reason(error) == "connection timed out"


def test_a_resolver_and_a_tls_number_are_not_read_as_the_systems() -> None:
    assert reason(socket.gaierror(socket.EAI_NONAME, "Name or service not known")).endswith("Name or service not known")
    assert "wrong version" in reason(ssl.SSLError(1, "wrong version"))


def test_what_has_no_number_says_its_text_or_its_name() -> None:
    assert reason(OSError("AF_UNIX path too long")) == "AF_UNIX path too long"
    assert reason(anyio.EndOfStream()) == "EndOfStream"


@pytest.mark.parametrize("error", [ValueError("v"), KeyError()])
def test_any_exception_has_a_reason(error: Exception) -> None:
    assert reason(error)
