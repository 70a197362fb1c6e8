"""Credentials: which are refused, hidden, and fresh for each dial."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tracebacks import places_of
from ziggurat.layers.socks5.auth import Credentials, Isolated, UserPass, check_lengths, credentials_source
from ziggurat.services import Uri

A, B = Uri.parse("http://a:1"), Uri.parse("http://b:1")


@pytest.mark.parametrize("value", ["x" * 256, "é" * 128])
def test_socks5_checks_lengths_in_bytes_of_utf_8(value: str) -> None:
    for name, auth in (("username", UserPass(value, "p")), ("password", UserPass("u", value))):
        with pytest.raises(ValueError, match=f"{name} must be at most 255 bytes") as caught:
            check_lengths(auth)
        assert places_of(value, caught.value) == []


def test_255_bytes_and_an_empty_password_are_allowed() -> None:
    check_lengths(UserPass("é" * 127 + "x", "x" * 255))
    check_lengths(UserPass("token", ""))


def test_fixed_credentials_may_be_optional() -> None:
    with pytest.raises(TypeError, match="required must be True or False, not 1"):
        UserPass("u", "p", required=1)  # type: ignore[arg-type]
    assert credentials_source(UserPass("u", "", required=False))(A) == Credentials(b"u", b"", required=False)
    assert UserPass("u", "p", required=False) != UserPass("u", "p")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"key": "host"}, "key must be a function of the target or None, not str"),
        ({"required": 1}, "required must be True or False, not 1"),
    ],
)
def test_wrong_settings_of_isolation_are_a_type_error(settings: dict[str, object], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Isolated(**settings)  # type: ignore[arg-type]


def test_a_key_that_fails_shows_no_secret_and_keeps_its_line() -> None:
    def key(uri: Uri) -> str:
        raise LookupError("no key")

    source = credentials_source(Isolated(key=key))
    with pytest.raises(LookupError) as caught:
        source(A)

    assert caught.traceback[-1].name == "key"
    local = [value for entry in caught.traceback for value in entry.frame.f_locals.values()]
    assert not [value for value in local if isinstance(value, bytes)]


def test_a_key_that_is_not_text_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="must return a str, not int"):
        credentials_source(Isolated(key=lambda uri: uri.port))(A)  # type: ignore[arg-type, return-value]


def test_credentials_can_be_copied_and_pickled() -> None:
    auth = UserPass("u", "p")

    assert copy.deepcopy(auth) == pickle.loads(pickle.dumps(auth)) == auth
    assert dataclasses.replace(auth, password="q") == UserPass("u", "q")


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
