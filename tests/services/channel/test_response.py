from __future__ import annotations

from typing import Any

import pytest
from grpclib.const import Status
from grpclib.encoding.proto import ProtoStatusDetailsCodec

from ziggurat.services.channel.response import Response, page_words, read_response
from ziggurat.services.http2 import HeaderSection

GRPC = [(b":status", b"200"), (b"content-type", b"application/grpc")]


def response(*fields: tuple[bytes, bytes], subtype: str = "proto") -> Response:
    return read_response(HeaderSection(fields), subtype)


def judged(http: bytes, content_type: bytes | None, subtype: str = "proto") -> Any:
    more = [] if content_type is None else [(b"content-type", content_type)]
    fault = response((b":status", http), *more, subtype=subtype).fault
    return None if fault is None else (fault.status, fault.message)


@pytest.mark.parametrize(
    "content_type",
    [b"application/grpc", b"application/grpc+proto", b"Application/GRPC", b"application/grpc; charset=utf-8",
     b"application/grpc+proto;x=y", b"application/grpc+PROTO"],
)  # fmt: skip
def test_a_content_type_may_have_parameters_and_any_case(content_type: bytes) -> None:
    assert judged(b"200", content_type) is None


@pytest.mark.parametrize(
    ("content_type", "status"),
    [(b"text/html", Status.UNKNOWN), (b"application/grpc-web", Status.UNKNOWN), (None, Status.UNKNOWN),
     (b"application/grpc+json", Status.INTERNAL)],
)  # fmt: skip
def test_another_content_type_is_no_grpc(content_type: bytes | None, status: Status) -> None:
    assert judged(b"200", content_type)[0] is status


def test_another_codec_may_leave_its_name_out() -> None:
    assert judged(b"200", b"application/grpc", "raw") is None
    assert judged(b"200", b"application/grpc+proto", "raw")[0] is Status.INTERNAL


@pytest.mark.parametrize(
    ("http", "status"),
    [(b"400", Status.INTERNAL), (b"401", Status.UNAUTHENTICATED), (b"403", Status.PERMISSION_DENIED),
     (b"404", Status.UNIMPLEMENTED), (b"429", Status.UNAVAILABLE), (b"502", Status.UNAVAILABLE),
     (b"503", Status.UNAVAILABLE), (b"504", Status.UNAVAILABLE), (b"500", Status.UNKNOWN), (b"302", Status.UNKNOWN)],
)  # fmt: skip
def test_http_statuses_are_mapped_as_grpc_says(http: bytes, status: Status) -> None:
    assert judged(http, b"text/html")[0] is status


def test_the_http_status_is_told_with_its_phrase() -> None:
    assert judged(b"502", None)[1] == "the server answered with HTTP 502 Bad Gateway, not with gRPC"
    assert judged(b"599", None)[1] == "the server answered with HTTP 599, not with gRPC"


def test_a_status_has_its_message_decoded() -> None:
    error = response((b"grpc-status", b"5"), (b"grpc-message", b"no %E2%82%AC \xe2\x82\xac")).error(None)
    assert error is not None
    assert (error.status, error.message) == (Status.NOT_FOUND, "no \u20ac \u20ac")


def test_ok_is_no_error_whatever_message_comes_with_it() -> None:
    read = response((b"grpc-status", b"0"), (b"grpc-message", b"fine"))
    assert (read.status, read.message) == (Status.OK, None)


@pytest.mark.parametrize("code", [b"17", b"-1", b"x", b""])
def test_an_invalid_status_is_unknown(code: bytes) -> None:
    error = response((b"grpc-status", code)).error(None)
    assert error is not None
    assert error.status is Status.UNKNOWN
    assert "Invalid grpc-status" in str(error.message)


def test_a_missing_status_is_unknown() -> None:
    error = response((b"x-a", b"1")).error(None)
    assert error is not None
    assert (error.status, error.message) == (Status.UNKNOWN, "Missing grpc-status header")


@pytest.mark.parametrize("details", [b"!!", b"AAAA"])
def test_details_that_cannot_be_read_do_not_hide_the_status(details: bytes) -> None:
    error = response((b"grpc-status", b"7"), (b"grpc-status-details-bin", details)).error(ProtoStatusDetailsCodec())
    assert error is not None
    assert error.status is Status.PERMISSION_DENIED
    assert not error.details


def test_an_encoding_is_a_fault_even_if_no_message_uses_it() -> None:
    assert response(*GRPC, (b"grpc-encoding", b"gzip")).encoding_fault is None
    fault = response(*GRPC, (b"grpc-encoding", b"snappy")).encoding_fault
    assert fault is not None
    assert fault.status is Status.INTERNAL


def test_a_section_is_read_once() -> None:
    section = HeaderSection(tuple(GRPC))
    assert read_response(section, "proto") is read_response(section, "proto")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html><head><title>413 Too Large</title><style>p{}</style></head><body><p>nginx</p></body></html>",
         "413 Too Large nginx"),
        (b"no healthy upstream", "no healthy upstream"),
        (b"<script>alert(1)</script>\n\n a \x1b[31m b", "a \\x1b[31m b"),
        (b"", ""),
        (b"<p", ""),
        (b"x" * 5000, "x" * 120),
        (b"\0\0\0\0\x04pong", ""),
    ],
)  # fmt: skip
def test_the_first_words_of_a_page(body: bytes, words: str) -> None:
    assert page_words(body) == words
