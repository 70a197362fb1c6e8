"""Each status as an error: its kind, whether it may pass, and the hint."""

from __future__ import annotations

import pytest

from ziggurat.layers import BearerToken, UserPass
from ziggurat.layers.http_connect.auth import HttpAuth
from ziggurat.layers.http_connect.exchange import Response
from ziggurat.layers.http_connect.refusal import ABOUT_THE_TARGET, auth_error, refusal
from ziggurat.services import ProxyAuthError, ProxyRefused


def response(status: int, *fields: tuple[str, str]) -> Response:
    return Response(status, "", fields, "1.1")


def test_every_other_status_is_a_refusal() -> None:
    for status in {*range(300, 1000)} - {401, 407}:
        error = refusal(response(status), "", 443, None)

        assert type(error) is ProxyRefused
        assert error.status == status
        assert error.transient is (status == 429 or status >= 500)
        assert error.message.startswith(f"the proxy answered {status}")


def test_the_proxys_reason_stands_in_brackets() -> None:
    assert refusal(response(503), "ERR_DNS_FAIL", 443, None).message == (
        "the proxy answered 503 Service Unavailable (ERR_DNS_FAIL)"
    )


@pytest.mark.parametrize("status", sorted(ABOUT_THE_TARGET))
def test_what_is_about_the_target_says_so(status: int) -> None:
    assert "target" in (refusal(response(status), "", 443, None).hint or "")


@pytest.mark.parametrize("status", [401, 407])
@pytest.mark.parametrize(
    ("auth", "said", "hint"),
    [
        (None, "wants authentication", "pass a ProxyAuthenticator as auth="),
        (UserPass("u", "p"), "refused the credentials", "it does not take Basic: pass a ProxyAuthenticator as auth="),
        (BearerToken("x"), "refused the credentials", "it does not take Bearer: pass a ProxyAuthenticator as auth="),
    ],
)
def test_401_and_407_are_authentication_errors(status: int, auth: HttpAuth, said: str, hint: str) -> None:
    error = refusal(response(status, ("proxy-authenticate", "NTLM")), "", 443, auth)

    assert type(error) is ProxyAuthError
    assert (error.status, error.transient) == (status, False)
    assert error.message.startswith(f"the proxy {said}: {status} ")
    assert error.message.endswith("; it offers NTLM")
    assert error.hint == ("it asks as a web server does; is it a proxy?" if (status, auth) == (401, None) else hint)


def test_an_unanswered_challenge_names_the_schemes_if_there_are_any() -> None:
    assert auth_error(response(407), "so").message == "so"
    assert auth_error(response(407, ("proxy-authenticate", "A, B")), "so", "hint").message == "so; it offers A, B"
