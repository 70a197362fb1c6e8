"""What makes a header section malformed (RFC 9113 8.1.1, 8.2, 8.3)."""

from __future__ import annotations

import pytest

from tests.services.http2.peers import REQUEST_FIELDS, RESPONSE_FIELDS, TRAILER_FIELDS
from ziggurat.services.http2 import HeaderSection, SectionKind

REQUEST = dict(REQUEST_FIELDS)
STATUS = (b":status", b"200")


def fault(*fields: tuple[bytes, bytes]) -> str | None:
    return HeaderSection(fields).fault


def request_fault(**changes: bytes | None) -> str | None:
    fields = {**REQUEST, **{f":{name}".encode(): value for name, value in changes.items()}}
    return fault(*((name, value) for name, value in fields.items() if value is not None))


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        (REQUEST_FIELDS, SectionKind.REQUEST),
        (RESPONSE_FIELDS, SectionKind.RESPONSE),
        (TRAILER_FIELDS, SectionKind.TRAILERS),
        ((), SectionKind.TRAILERS),
    ],
)
def test_a_section_is_what_its_pseudo_header_fields_say(
    fields: tuple[tuple[bytes, bytes], ...], kind: SectionKind
) -> None:
    """RFC 9113 8.3."""
    section = HeaderSection(fields)

    assert section.kind is kind
    assert section.fault is None
    assert section.fields == fields


@pytest.mark.parametrize(
    "field",
    [
        (b"Upper", b""),
        (b"", b""),
        (b"a b", b""),
        (b"a\0", b""),
        (b"a\x7f", b""),
        (b"\xe9", b""),
        (b"a:b", b""),
        (b"name\n", b""),
    ],
)
def test_a_field_name_is_a_token_in_lower_case(field: tuple[bytes, bytes]) -> None:
    """RFC 9113 8.2.1."""
    assert "the field name" in str(fault(STATUS, field))


@pytest.mark.parametrize("value", [b"a\0", b"\r", b"a\nb"])
def test_a_value_has_no_nul_and_no_line_break(value: bytes) -> None:
    """RFC 9113 8.2.1."""
    assert fault(STATUS, (b"name", value)) == "a NUL or line break in the value of name"
    assert fault((b":status", value)) is not None


@pytest.mark.parametrize("value", [b"", b" a ", b"caf\xc3\xa9", b"a\tb", b"\x7f"])
def test_any_other_value_is_taken(value: bytes) -> None:
    """A `grpc-message` may end with a space, although RFC 9113 8.2.1 does not want it: it must not hide a status."""
    assert fault(STATUS, (b"grpc-message", value)) is None


@pytest.mark.parametrize("name", [b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"])
def test_connection_specific_fields_are_refused(name: bytes) -> None:
    """RFC 9113 8.2.2."""
    assert fault(STATUS, (name, b"x")) == f"the connection-specific field {name.decode()}"


def test_te_may_say_trailers_and_nothing_else() -> None:
    """RFC 9113 8.2.2."""
    assert fault(*REQUEST_FIELDS, (b"te", b"trailers")) is None
    assert fault(*REQUEST_FIELDS, (b"te", b"gzip")) == "the connection-specific field te"


def test_pseudo_header_fields_come_first_and_once() -> None:
    """RFC 9113 8.3."""
    assert fault(STATUS, (b"a", b""), (b":status", b"200")) == ":status after a regular field"
    assert fault((b"a", b""), STATUS) == ":status after a regular field"
    assert fault(STATUS, STATUS) == ":status twice"


@pytest.mark.parametrize("path", [b"a", b"a/b", b"http://a/b", b"?a", b" /"])
def test_a_path_begins_with_a_slash_or_is_a_star(path: bytes) -> None:
    """RFC 9113 8.3.1, for the schemes http and https."""
    assert request_fault(path=path) == f"the :path {path.decode()}"
    assert request_fault(path=path, scheme=b"https") is not None
    assert request_fault(path=path, scheme=b"coap") is None
    assert request_fault(path=b"/?a") is None
    assert request_fault(path=b"*", method=b"OPTIONS") is None


@pytest.mark.parametrize("status", [b"", b"20", b"2000", b"abc", b"+20", b" 20", b"2 0", b"101"])
def test_a_status_has_three_digits(status: bytes) -> None:
    """RFC 9113 8.3.2; 8.6 does without 101."""
    assert fault((b":status", status)) == f"the :status {status.decode() or repr('')}"


def test_request_and_response_do_not_mix() -> None:
    """RFC 9113 8.3."""
    assert fault(STATUS, (b":path", b"/")) == "pseudo-header fields beside :status"


def test_an_unknown_pseudo_header_field_is_refused() -> None:
    """RFC 9113 8.3; `:protocol` is one, as nothing announces RFC 8441."""
    assert request_fault(protocol=b"websocket") == "the unknown pseudo-header field :protocol"


@pytest.mark.parametrize("name", ["method", "scheme", "path"])
def test_a_request_needs_method_scheme_and_a_path_that_is_not_empty(name: str) -> None:
    """RFC 9113 8.3.1."""
    assert request_fault(**{name: None}) == f"the request has no :{name}"
    assert request_fault(**{name: b""}) == f"the request has no :{name}"


def test_a_connect_request_needs_authority_alone() -> None:
    """RFC 9113 8.5."""
    assert request_fault(method=b"CONNECT", scheme=None, path=None) is None
    for changes in ({"scheme": None}, {"path": None}, {"scheme": None, "path": None, "authority": None}):
        assert "8.5" in str(request_fault(method=b"CONNECT", **changes))


@pytest.mark.parametrize("value", [b"", b"-1", b"+1", b"1a", b" 1", b"1, 1", b"9" * 19])
def test_a_content_length_is_a_number(value: bytes) -> None:
    """RFC 9110 8.6; one of 19 digits is longer than anything."""
    assert fault(STATUS, (b"content-length", value)) is not None


def test_a_content_length_may_be_repeated_but_not_contradicted() -> None:
    """RFC 9110 8.6."""
    assert HeaderSection((STATUS, (b"content-length", b"7"), (b"content-length", b"7"))).content_length == 7
    assert fault(STATUS, (b"content-length", b"7"), (b"content-length", b"8")) is not None
    assert HeaderSection((STATUS,)).content_length is None


@pytest.mark.parametrize(("status", "informational"), [(b"100", True), (b"199", True), (b"200", False), (b"1", False)])
def test_a_1xx_response_is_not_the_final_one(status: bytes, informational: bool) -> None:
    """RFC 9113 8.1."""
    assert HeaderSection(((b":status", status),)).informational is informational


def test_the_first_fault_is_the_one_that_is_told() -> None:
    assert fault(STATUS, (b"A", b""), (b"upgrade", b"")) == "the field name A"
    assert HeaderSection((STATUS,), "too large").fault == "too large"


def test_what_is_told_of_a_peers_field_is_short_and_printable() -> None:
    assert len(str(fault(STATUS, (b"\x1b" * 10_000, b"")))) < 200
    assert "\\x1b" in str(fault(STATUS, (b"\x1b", b"")))


def test_get_returns_the_last_value_of_a_name() -> None:
    section = HeaderSection((STATUS, (b"a", b"1"), (b"a", b"2")))

    assert section.get(b"a") == b"2"
    assert section.get(b"b") is None
    assert repr(section) == "HeaderSection(RESPONSE, 3 fields)"
    assert repr(HeaderSection((STATUS, STATUS))) == "HeaderSection(RESPONSE, 2 fields, malformed)"
