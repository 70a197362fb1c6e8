"""A user name and a password, for any proxy that takes them."""

from __future__ import annotations

from dataclasses import dataclass, field

from ziggurat.layers.redaction import hide_arguments
from ziggurat.services.validation import check_bool

__all__ = ["UserPass"]


@dataclass(frozen=True, slots=True, init=False)
class UserPass:
    """User name and password: RFC 1929 for SOCKS5, Basic (RFC 7617) for an HTTP proxy. ``repr`` hides the password.

    Args:
        username: not empty. Without a password it may itself be the secret, e.g. a token, so ``repr`` hides it then.
        password: may be empty.
        required: ``True`` fails the dial if a SOCKS5 proxy does not ask for credentials. ``False`` also offers "no
            authentication". An HTTP proxy is always sent the credentials.

    Raises:
        TypeError: one of them is not a str, or ``required`` is not a bool.
        ValueError: the username is empty, or one of them has no UTF-8. How long they may be depends on the proxy.
    """

    username: str
    password: str = field(repr=False)
    required: bool = True

    # A dataclass's own __init__ would stand in the traceback, with the password in its arguments.
    @hide_arguments
    def __init__(self, username: str, password: str, *, required: bool = True) -> None:
        _check("username", username)
        _check("password", password)
        if not username:
            raise ValueError("username must not be empty")
        check_bool("required", required)
        object.__setattr__(self, "username", username)
        object.__setattr__(self, "password", password)
        object.__setattr__(self, "required", required)

    def __repr__(self) -> str:
        shown = f"{self.username!r}, '***'" if self.password else "'***', ''"
        return f"UserPass({shown}{'' if self.required else ', required=False'})"


def _check(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} cannot be encoded in UTF-8: it has a lone surrogate") from None
