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


def test_every_status_but_407_is_a_refusal() -> None:
    for status in {*range(300, 1000)} - {407}:
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


@pytest.mark.parametrize(
    ("auth", "said"),
    [
        (None, "wants authentication"),
        (UserPass("u", "p"), "refused the credentials"),
        (BearerToken("x"), "refused the credentials"),
    ],
)
def test_a_407_is_an_authentication_error(auth: HttpAuth, said: str) -> None:
    error = refusal(response(407, ("proxy-authenticate", "NTLM")), "", 443, auth)

    assert type(error) is ProxyAuthError
    assert (error.status, error.transient) == (407, False)
    assert error.message == f"the proxy {said}: 407 Proxy Authentication Required; it offers NTLM" or "wants" in said
    assert said in error.message


def test_an_unanswered_challenge_names_the_schemes_if_there_are_any() -> None:
    assert auth_error(response(407), "so").message == "so"
    assert auth_error(response(407, ("proxy-authenticate", "A, B")), "so", "hint").message == "so; it offers A, B"
