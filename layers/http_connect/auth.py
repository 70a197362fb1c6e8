"""Authentication to an HTTP proxy: Basic, Bearer, or an object of the user's that answers challenges.

Basic and Bearer go with the first request, which saves a round trip. Schemes that need a challenge, as Digest, NTLM and
Negotiate do, are not in the library; a `ProxyAuthenticator` adds one.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias, cast

from ziggurat.layers.redaction import hide_arguments
from ziggurat.layers.user_pass import UserPass
from ziggurat.services.uri import Uri

__all__ = ["BearerToken", "HttpAuth", "ProxyAuthenticator", "ProxyConversation", "check_auth", "conversations"]

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)


@dataclass(frozen=True, slots=True, init=False, repr=False)
class BearerToken:
    """A token, sent as ``Proxy-Authorization: Bearer ...`` (RFC 6750). ``repr`` hides it.

    Args:
        token: letters, digits and ``-._~+/``, then any number of ``=`` (RFC 6750 2.1).

    Raises:
        TypeError: it is not a str.
        ValueError: it has another form; the message does not quote it.
    """

    token: str = field(repr=False)

    @hide_arguments
    def __init__(self, token: str) -> None:
        if not isinstance(cast(object, token), str):
            raise TypeError(f"token must be a str, not {type(token).__name__}")
        if not _TOKEN.fullmatch(token):
            raise ValueError("token must consist of letters, digits and -._~+/, with = only at its end (RFC 6750 2.1)")
        object.__setattr__(self, "token", token)

    def __repr__(self) -> str:
        return "BearerToken('***')"


class ProxyConversation(Protocol):
    """The authentication of one dial. It may keep what it learns from round to round."""

    async def answer(self, challenges: tuple[str, ...], /) -> str | None:
        """Return the value of ``Proxy-Authorization`` for the next request.

        Args:
            challenges: empty for the first request; then the value of each ``Proxy-Authenticate`` field of the proxy's
                407, in order. One value may contain several challenges (RFC 9110 11.6.1).

        Returns:
            ``None`` sends the first request without credentials, and later gives up: the dial fails with a
            `ProxyAuthError`.
        """
        ...


class ProxyAuthenticator(Protocol):
    """Answers the challenges of a proxy: for Digest, NTLM, Negotiate, or a scheme of your own.

    All requests of a dial use one connection, as NTLM and Negotiate need it. The object is shared by all dials of a
    stack; what belongs to one dial belongs in the conversation.
    """

    def start(self, uri: Uri, /) -> ProxyConversation:
        """Return the conversation of a dial to ``uri``. The request's method is ``CONNECT``, its target
        ``uri.authority``."""
        ...


HttpAuth: TypeAlias = UserPass | BearerToken | ProxyAuthenticator | None


@hide_arguments
def check_auth(auth: HttpAuth) -> None:
    """Check that the credentials can be sent to an HTTP proxy.

    Raises:
        TypeError: it is nothing that authenticates, or a class in place of an instance.
        ValueError: Basic has no place for a colon in a user name, nor for control characters (RFC 7617 2).
    """
    if isinstance(auth, type):
        raise TypeError(f"auth: {auth.__name__} is a class: pass an instance, {auth.__name__}(...)")
    if isinstance(auth, UserPass):
        if ":" in auth.username:
            raise ValueError("username must not contain a colon for an HTTP proxy (RFC 7617 2)")
        for name, text in (("username", auth.username), ("password", auth.password)):
            if re.search(r"[\x00-\x1f\x7f]", text):
                raise ValueError(f"{name} must not contain control characters for an HTTP proxy (RFC 7617 2)")
    elif not (auth is None or isinstance(auth, BearerToken) or callable(getattr(auth, "start", None))):
        kind = type(cast(object, auth)).__name__
        raise TypeError(f"auth must be UserPass, BearerToken, an object with start(uri), or None, not {kind}")


def conversations(auth: HttpAuth) -> Callable[[Uri], ProxyConversation]:
    """Make the function that starts a dial's conversation."""
    if auth is None:
        return _Fixed(None).start
    if isinstance(auth, UserPass):
        pair = f"{auth.username}:{auth.password}".encode()
        return _Fixed("Basic " + base64.b64encode(pair).decode("ascii")).start
    if isinstance(auth, BearerToken):
        return _Fixed(f"Bearer {auth.token}").start
    return auth.start


class _Fixed:
    """Sends the same credentials with every first request, and has no answer to a challenge."""

    __slots__ = ("_value",)

    def __init__(self, value: str | None) -> None:
        self._value = value

    def start(self, uri: Uri, /) -> _Fixed:
        return self

    async def answer(self, challenges: tuple[str, ...], /) -> str | None:
        return None if challenges else self._value
