"""Header fields of the user's: none can forge another."""

from __future__ import annotations

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tracebacks import places_of
from ziggurat.layers.http_connect.headers import check_headers, is_field_value


def test_a_mapping_and_pairs_are_accepted() -> None:
    assert check_headers({"X-A": "b", "X-C": ""}) == (("X-A", "b"), ("X-C", ""))
    assert check_headers(iter([("a", "1"), ("a", "2")])) == (("a", "1"), ("a", "2"))


@pytest.mark.parametrize("name", ["", " ", "A B", "A:", "A\r\nB", "Ä", "A\0", "(a)"])
def test_a_name_must_be_a_token(name: str) -> None:
    with pytest.raises(ValueError, match=r"headers\[1\]: the name must be a token"):
        check_headers([("ok", ""), (name, "hunter2")])


@pytest.mark.parametrize("value", ["hunter2\r\nX: y", "hunter2\n", " hunter2", "hunter2\t", "hunter2\0", "hunter2€"])
def test_a_value_cannot_begin_another_line_and_is_never_quoted(value: str) -> None:
    with pytest.raises(ValueError, match=r"headers\[0\]: the value of X has") as caught:
        check_headers({"X": value})
    assert places_of("hunter2", caught.value) == []


@pytest.mark.parametrize("name", ["Host", "content-length", "Transfer-Encoding", "Expect", "Upgrade", "TE", "Trailer"])
def test_fields_that_would_change_the_request_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is not to be set"):
        check_headers({name: "x"})


@pytest.mark.parametrize("headers", ["X: y", b"X: y", ["X: y"], [("X",)], [("X", 5)], [(5, "x")], [("X", "y", "z")]])
def test_another_type_is_a_type_error(headers: object) -> None:
    with pytest.raises(TypeError, match="headers"):
        check_headers(headers)  # type: ignore[arg-type]


@given(st.text(st.characters(max_codepoint=300), max_size=4))
def test_h11_agrees_on_what_a_value_is(text: str) -> None:
    try:
        value = text.encode("latin-1")
        h11.Request(method="CONNECT", target="a:1", headers=[("Host", "a"), (b"X", value)])
    except (UnicodeEncodeError, h11.LocalProtocolError):
        assert not is_field_value(text) or value.strip(b" \t") != value
    else:
        # h11 takes a few control characters, for the sake of old clients; they have no place here.
        assert is_field_value(text) or any(char < " " or char == "\x7f" for char in text) or text != text.strip(" \t")
