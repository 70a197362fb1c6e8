"""Error codes have their names and numbers (RFC 9113 7), and unknown ones do no harm."""

from __future__ import annotations

from h2.errors import ErrorCodes

from ziggurat.services.http2 import ErrorCode, RemoteProtocolError, error_name


def test_the_codes_are_those_of_rfc_9113_7() -> None:
    assert {code.name: code.value for code in ErrorCode} == {code.name: code.value for code in ErrorCodes}


def test_a_code_is_named_and_an_unknown_one_is_shown_as_its_number() -> None:
    assert error_name(ErrorCode.ENHANCE_YOUR_CALM) == "ENHANCE_YOUR_CALM"
    assert error_name(0) == "NO_ERROR"
    assert error_name(0xFFFFFFFF) == "error code 0xffffffff"


def test_an_error_says_what_and_carries_its_code() -> None:
    error = RemoteProtocolError(ErrorCode.FRAME_SIZE_ERROR, "PING of 9 bytes")

    assert str(error) == "PING of 9 bytes"
    assert error.code is ErrorCode.FRAME_SIZE_ERROR
