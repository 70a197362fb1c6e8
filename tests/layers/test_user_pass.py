"""A user name and a password: which are refused, and what is hidden."""

from __future__ import annotations

import pytest

from tests.tracebacks import places_of
from ziggurat.layers.user_pass import UserPass


def test_an_empty_username_is_refused() -> None:
    with pytest.raises(ValueError, match="username must not be empty"):
        UserPass("", "p")


def test_a_username_without_a_password_is_hidden_since_it_may_be_a_token() -> None:
    assert repr(UserPass("hunter2", "")) == "UserPass('***', '')"
    assert repr(UserPass("user", "hunter2", required=False)) == "UserPass('user', '***', required=False)"


@pytest.mark.parametrize("wrong", [None, b"hunter2", 5, ("hunter2",)])
def test_what_is_not_text_is_a_type_error_that_names_its_type(wrong: object) -> None:
    with pytest.raises(TypeError, match=f"password must be a str, not {type(wrong).__name__}") as caught:
        UserPass("u", wrong)  # type: ignore[arg-type]
    assert places_of("hunter2", caught.value) == []
    with pytest.raises(TypeError, match="username must be a str"):
        UserPass(wrong, "p")  # type: ignore[arg-type]


@pytest.mark.parametrize("password", ["hunter2\udcff"])
def test_a_refused_password_shows_in_no_text_cause_or_local(password: str) -> None:
    with pytest.raises(ValueError, match=r"^password ") as caught:
        UserPass("u", password)
    assert places_of("hunter2", caught.value) == []
