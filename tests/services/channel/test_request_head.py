from __future__ import annotations

import pytest
from grpclib.const import Status

from ziggurat.services.channel.request_head import NO_SUCH_METHOD, Refusal, RequestHead, read_request
from ziggurat.services.http2 import HeaderSection

GOOD = {
    ":method": "POST",
    ":scheme": "http",
    ":path": "/a/b",
    "content-type": "application/grpc+raw",
    "te": "trailers",
}


def head(**changed: str | None) -> RequestHead:
    fields = GOOD | {name.replace("_", "-"): value for name, value in changed.items()}
    if (method := fields.pop("method", None)) is not None:
        fields[":method"] = method
    pairs = [(name.encode(), value.encode()) for name, value in fields.items() if value is not None]
    return read_request(HeaderSection(tuple(pairs)), "raw")


def test_a_good_request_has_nothing_against_it() -> None:
    good = head(user_agent="me/1", x="y", grpc_timeout="5S")
    assert (good.refusal, good.fault, good.encoding_fault) == (None, None, None)
    assert (good.path, good.user_agent, good.timeout, good.pairs) == ("/a/b", "me/1", 5.0, [("x", "y")])
    assert (good.encoding, good.accepts_gzip, good.content_type) == (None, False, "application/grpc+raw")


def test_a_section_is_read_once_and_makes_no_cycle() -> None:
    section = HeaderSection(((b":method", b"POST"),))
    assert read_request(section, "raw") is read_request(section, "raw")
    assert not hasattr(read_request(section, "raw"), "section")


@pytest.mark.parametrize(
    "kind", ["application/grpc+raw", "Application/GRPC+Raw", "application/grpc+raw; charset=utf-8"]
)
def test_content_types_with_parameters_or_other_case_are_taken(kind: str) -> None:
    assert head(content_type=kind).refusal is None


@pytest.mark.parametrize(("kind", "taken"), [("application/grpc", True), ("application/grpc+raw", False)])
def test_no_subtype_means_protobuf(kind: str, taken: bool) -> None:
    section = HeaderSection(
        tuple((name.encode(), value.encode()) for name, value in (GOOD | {"content-type": kind}).items())
    )
    assert (read_request(section, "proto").refusal is None) is taken


@pytest.mark.parametrize(
    ("changed", "http", "status"),
    [
        ({"method": "GET"}, 405, None),
        ({"content_type": None}, 415, Status.UNKNOWN),
        ({"content_type": "text/html"}, 415, Status.UNKNOWN),
        ({"content_type": "application/grpc+json"}, 415, Status.UNKNOWN),
        ({"te": None}, 400, Status.UNKNOWN),
    ],
)
def test_what_is_no_request_of_grpc_is_refused(changed: dict[str, str], http: int, status: Status | None) -> None:
    refusal = head(**changed).refusal
    assert refusal is not None
    assert (refusal.http, refusal.status) == (http, status)


@pytest.mark.parametrize(
    ("value", "seconds"), [("1H", 3600.0), ("2M", 120.0), ("3S", 3.0), ("4m", 0.004), ("5u", 5e-6), ("6n", 6e-9)]
)
def test_a_timeout_has_a_unit(value: str, seconds: float) -> None:
    assert head(grpc_timeout=value).timeout == pytest.approx(seconds)


@pytest.mark.parametrize("value", ["", "5", "S", "-1S", "1.5S", "123456789n", "1s", "1S "])
def test_any_other_timeout_is_an_internal_error(value: str) -> None:
    bad = head(grpc_timeout=value)
    assert bad.fault is not None
    assert bad.fault.status is Status.INTERNAL
    assert bad.timeout is None


def test_metadata_that_is_not_base64_is_an_internal_error() -> None:
    fault = head(x_bin="!").fault
    assert fault is not None
    assert (fault.status, fault.message) == (Status.INTERNAL, "the metadata 'x-bin' is not base64")


def test_an_unknown_encoding_is_unimplemented_though_it_is_only_announced() -> None:
    fault = head(grpc_encoding="br\u00e9").encoding_fault
    assert fault is not None
    assert fault.status is Status.UNIMPLEMENTED
    assert head(grpc_encoding="gzip").encoding_fault is head(grpc_encoding="identity").encoding_fault is None


@pytest.mark.parametrize(
    ("value", "accepted"), [("gzip", True), ("identity, gzip", True), ("xgzip", False), (None, False)]
)
def test_gzip_is_accepted_by_its_name(value: str | None, accepted: bool) -> None:
    assert head(grpc_accept_encoding=value).accepts_gzip is accepted


def fields(refusal: Refusal) -> dict[bytes, bytes]:
    template, own = refusal.fields
    return dict([*template.fields, *own])


def test_the_answer_to_a_client_of_grpc_says_what_the_server_reads() -> None:
    assert fields(NO_SUCH_METHOD) == {
        b":status": b"200",
        b"content-type": b"application/grpc",
        b"grpc-accept-encoding": b"identity,gzip",
        b"grpc-status": b"12",
        b"grpc-message": b"Method not found",
    }


def test_the_answer_to_another_client_is_an_http_status() -> None:
    assert fields(Refusal(405, None, "")) == {b":status": b"405"}
    assert fields(Refusal(415, Status.UNKNOWN, "no")) == {
        b":status": b"415",
        b"grpc-status": b"2",
        b"grpc-message": b"no",
    }
