"""Credentials for an HTTP proxy: which are refused, hidden, and sent."""

from __future__ import annotations

import copy
import pickle

import pytest

from tests.tracebacks import places_of
from ziggurat.layers import BearerToken, UserPass
from ziggurat.layers.http_connect.auth import HttpAuth, check_auth, conversations
from ziggurat.services import Uri

URI = Uri("http", "target", 80)


@pytest.mark.parametrize(
    ("auth", "value"),
    [
        (None, None),
        (UserPass("Aladdin", "open sesame"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),  # RFC 7617 2
        (UserPass("test", "123£"), "Basic dGVzdDoxMjPCow=="),  # RFC 7617 2.1
        (UserPass("token", ""), "Basic dG9rZW46"),
        (UserPass("u", "x" * 600, required=False), "Basic " + "dTp4" + "eHh4" * 199 + "eHg="),
        (BearerToken("mF_9.B5f-4.1JqM"), "Bearer mF_9.B5f-4.1JqM"),  # RFC 6750 2.1
    ],
)
async def test_fixed_credentials_go_first_and_answer_no_challenge(auth: HttpAuth, value: str | None) -> None:
    conversation = conversations(auth)(URI)

    assert await conversation.answer(()) == value
    assert await conversation.answer(("Basic",)) is None


@pytest.mark.parametrize("token", ["", "hunter2 x", "hunter2\r\nX: y", "hunter2=x", "h\xfcnter2", "=====", "hunter2:"])
def test_a_token_of_another_form_is_refused_unseen(token: str) -> None:
    with pytest.raises(ValueError, match="RFC 6750") as caught:
        BearerToken(token)
    assert token == "" or places_of(token, caught.value) == []


def test_a_token_that_is_not_text_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="token must be a str, not bytes") as caught:
        BearerToken(b"hunter2")  # type: ignore[arg-type]
    assert places_of("hunter2", caught.value) == []


def test_a_token_can_be_copied_and_pickled_and_is_hidden() -> None:
    token = BearerToken("hunter2")

    assert copy.deepcopy(token) == pickle.loads(pickle.dumps(token)) == token
    assert repr(token) == "BearerToken('***')"


class Authenticator:
    def start(self, uri: Uri) -> Authenticator:
        return self

    async def answer(self, challenges: tuple[str, ...], /) -> str | None:
        return None


@pytest.mark.parametrize("auth", [None, UserPass("u", "p:ä"), BearerToken("x"), Authenticator()])
def test_what_can_be_sent_is_accepted(auth: HttpAuth) -> None:
    check_auth(auth)


@pytest.mark.parametrize(
    ("auth", "message"),
    [
        (UserPass("a:b", "hunter2"), "username must not contain a colon"),
        (UserPass("a\nb", "hunter2"), "username must not contain control characters"),
        (UserPass("ab", "hunter2\x7f"), "password must not contain control characters"),
    ],
)
def test_what_basic_cannot_express_is_a_value_error(auth: UserPass, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        check_auth(auth)
    assert places_of("hunter2", caught.value) == []


@pytest.mark.parametrize("auth", ["u:hunter2", ("u", "hunter2"), 5, object(), Authenticator, BearerToken])
def test_what_does_not_authenticate_is_a_type_error(auth: object) -> None:
    with pytest.raises(TypeError, match=r"auth must be|is a class") as caught:
        check_auth(auth)  # type: ignore[arg-type]
    assert places_of("hunter2", caught.value) == []
