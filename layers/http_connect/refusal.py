"""The error for a proxy's answer other than 2xx, and what to do about it."""

from __future__ import annotations

from ziggurat.layers.http_connect.auth import BearerToken, HttpAuth
from ziggurat.layers.http_connect.exchange import Response
from ziggurat.layers.http_connect.reason import offered_schemes, status_line
from ziggurat.layers.user_pass import UserPass
from ziggurat.services.errors import ProxyAuthError, ProxyError, ProxyRefused

__all__ = ["ABOUT_THE_TARGET", "auth_error", "refusal"]

ABOUT_THE_TARGET = frozenset({502, 503, 504})
"""Statuses that say that the proxy works and the target was not reached."""

HINTS = {
    400: "is it a proxy, and one for CONNECT?",
    404: "is it a proxy, and one for CONNECT?",
    405: "is it a proxy, and one for CONNECT?",
    429: "it limits its clients: dial less often",
    501: "is it a proxy, and one for CONNECT?",
    502: "the proxy could not reach the target",
    503: "the proxy could not reach the target, or is overloaded",
    504: "the target did not answer the proxy in time",
}


def refusal(response: Response, detail: str, port: int, auth: HttpAuth) -> ProxyError:
    """Return the error for a response that opens no tunnel.

    Args:
        response: its head; the status is not 2xx.
        detail: the proxy's own reason; may be empty.
        port: the target's.
        auth: how the layer authenticates.
    """
    status = response.status
    said = f"{status_line(response)}{f' ({detail})' if detail else ''}"
    # 401 is a web server's, but tinyproxy and wstunnel answer it to wrong credentials, or to none.
    if status in (401, 407):
        return _unauthorized(response, said, auth)
    transient = status == 429 or status >= 500
    return ProxyRefused(f"the proxy answered {said}", status=status, hint=_hint(status, port), transient=transient)


def auth_error(response: Response, message: str, hint: str | None = None) -> ProxyAuthError:
    """Return the error for a 407 that was not answered, with the schemes that the proxy offers."""
    schemes = offered_schemes(response.all("proxy-authenticate"))
    offers = f"; it offers {', '.join(schemes)}" if schemes else ""
    return ProxyAuthError(f"{message}{offers}", status=response.status, hint=hint)


def _unauthorized(response: Response, said: str, auth: HttpAuth) -> ProxyAuthError:
    schemes = {name.lower() for name in offered_schemes(response.all("proxy-authenticate"))}
    if response.status == 401 and not isinstance(auth, (UserPass, BearerToken)):
        return auth_error(
            response, f"the proxy wants authentication: {said}", "it asks as a web server does; is it a proxy?"
        )
    if auth is None:
        hint = "pass auth=UserPass(user, password)"
        if schemes and "basic" not in schemes:
            hint = "pass auth=BearerToken(token)" if "bearer" in schemes else "pass a ProxyAuthenticator as auth="
        return auth_error(response, f"the proxy wants authentication: {said}", hint)
    wanted = "basic" if isinstance(auth, UserPass) else "bearer"
    if schemes and wanted not in schemes:
        hint = f"it does not take {wanted.capitalize()}: pass a ProxyAuthenticator as auth="
    else:
        hint = "check user name and password" if wanted == "basic" else "check the token"
    return auth_error(response, f"the proxy refused the credentials: {said}", hint)


def _hint(status: int, port: int) -> str | None:
    if 300 <= status < 400:
        return "a redirect opens no tunnel; is a login page of the network in the way?"
    if status == 403:
        rules = "its rules must allow this target"
        return rules if port == 443 else f"{rules}; squid allows CONNECT to its SSL_ports only, by default not {port}"
    return HINTS.get(status)
