"""Credentials: which are refused, hidden, and fresh for each dial."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.layers.socks5.auth import Credentials, Isolated, UserPass, credentials_source
from ziggurat.services import Uri

A, B = Uri.parse("http://a:1"), Uri.parse("http://b:1")


@pytest.mark.parametrize("value", ["", "x" * 256, "é" * 128])
def test_lengths_are_checked_in_bytes_of_utf_8(value: str) -> None:
    with pytest.raises(ValueError, match="username must be 1 to 255 bytes"):
        UserPass(value, "p")
    with pytest.raises(ValueError, match="password must be 1 to 255 bytes") as caught:
        UserPass("u", value)
    assert value == "" or value not in str(caught.value)


def test_255_bytes_are_allowed() -> None:
    UserPass("é" * 127 + "x", "x" * 255)


def test_a_secret_never_shows_in_a_repr() -> None:
    assert "hunter2" not in repr(UserPass("user", "hunter2"))
    assert "hunter2" not in repr(Credentials(b"hunter2", b"hunter2"))


def test_no_authentication_gives_no_credentials() -> None:
    assert credentials_source(None)(A) is None


def test_fixed_credentials_are_sent_in_utf_8() -> None:
    given_ = credentials_source(UserPass("ü", "p"))(A)

    assert given_ is not None
    assert (given_.username, given_.password) == ("ü".encode(), b"p")
    assert not given_.isolating


def test_without_a_key_each_dial_has_its_own_credentials() -> None:
    source = credentials_source(Isolated())
    seen = [source(A) for _ in range(100)]

    assert len({(c.username, c.password) for c in seen if c is not None}) == 100


def test_dials_with_equal_keys_share_credentials_and_others_do_not() -> None:
    source = credentials_source(Isolated(key=lambda uri: uri.host))

    assert source(A) == source(Uri.parse("https://a:2"))
    assert source(A) != source(B)


def test_two_stacks_never_share_credentials_and_cannot_be_linked() -> None:
    auth = Isolated(key=lambda uri: uri.host)

    assert credentials_source(auth)(A) != credentials_source(auth)(A)


@given(st.text())
def test_isolating_credentials_are_hexadecimal_and_never_reserved(key: str) -> None:
    made = credentials_source(Isolated(key=lambda uri: key))(A)

    assert made is not None
    for part in (made.username, made.password):
        assert len(part) == 32
        int(part, 16)
        assert not part.startswith(b"<torS0X>")
