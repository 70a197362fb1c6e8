"""Authentication to the proxy: none, fixed credentials, or fresh ones for each dial.

Tor puts streams with different credentials on different circuits (IsolateSOCKSAuth), so that random ones per dial keep
dials from being linked. They are hexadecimal, since user names that begin with ``<torS0X>`` are reserved (Tor proposal
351).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias, cast

from ziggurat.layers.socks5.redaction import hide_arguments
from ziggurat.services.uri import Uri
from ziggurat.services.validation import check_bool

__all__ = ["Auth", "Credentials", "Isolated", "UserPass", "credentials_source"]

SECRET_BYTES = 16
"""Random bytes in a credential: as many as in a UUID, so that no two dials share a circuit by chance."""


@dataclass(frozen=True, slots=True, init=False)
class UserPass:
    """User name and password (RFC 1929). ``repr`` hides the password.

    Args:
        username: 1 to 255 bytes in UTF-8.
        password: likewise.

    Raises:
        TypeError: one of them is not a str.
        ValueError: one of them is too short or too long, or has no UTF-8.
    """

    username: str
    password: str = field(repr=False)

    # A dataclass's own __init__ would stand in the traceback, with the password in its arguments.
    @hide_arguments
    def __init__(self, username: str, password: str) -> None:
        _check("username", username)
        _check("password", password)
        object.__setattr__(self, "username", username)
        object.__setattr__(self, "password", password)

    def __repr__(self) -> str:
        return f"UserPass({self.username!r}, '***')"


@dataclass(frozen=True, slots=True)
class Isolated:
    """Fresh random credentials, so that Tor uses a separate circuit for each dial, or for each key.

    Args:
        key: a function of the target; dials with equal keys share credentials. ``None`` gives each dial its own.
        required: ``True`` fails the dial if the proxy does not support authentication. ``False`` also offers "no
            authentication", and the ledger then notes that nothing was isolated.

    Raises:
        TypeError: ``key`` cannot be called, or ``required`` is not a bool.
    """

    key: Callable[[Uri], str] | None = None
    required: bool = True

    def __post_init__(self) -> None:
        if self.key is not None and not callable(self.key):
            raise TypeError(f"key must be a function of the target or None, not {type(self.key).__name__}")
        check_bool("required", self.required)


Auth: TypeAlias = UserPass | Isolated | None


@dataclass(frozen=True, slots=True)
class Credentials:
    """The credentials of one dial.

    Attributes:
        username, password: 1 to 255 bytes each.
        required: whether a proxy that asks for none is an error.
        isolating: whether they were generated to isolate dials from one another.
    """

    username: bytes = field(repr=False)
    password: bytes = field(repr=False)
    required: bool = True
    isolating: bool = False


def credentials_source(auth: Auth) -> Callable[[Uri], Credentials | None]:
    """Make the function that returns a dial's credentials. Each has its own secret."""
    if auth is None:
        return lambda uri: None
    if isinstance(auth, UserPass):
        fixed = Credentials(auth.username.encode(), auth.password.encode())
        return lambda uri: fixed
    return _Isolating(auth)


class _Isolating:
    """Makes an `Isolated`'s credentials. A class, since a closure's secret would be a local of its frame."""

    __slots__ = ("_auth", "_secret")

    def __init__(self, auth: Isolated) -> None:
        self._auth = auth
        self._secret = secrets.token_bytes(32)

    def __call__(self, uri: Uri, /) -> Credentials:
        key = self._key(uri)
        half = 2 * SECRET_BYTES
        # Derived rather than stored: memory does not grow with the number of keys, and keeps no targets.
        token = secrets.token_hex(half) if key is None else hmac.new(self._secret, key, hashlib.sha256).hexdigest()
        return Credentials(token[:half].encode(), token[half:].encode(), self._auth.required, isolating=True)

    def _key(self, uri: Uri) -> bytes | None:
        if self._auth.key is None:
            return None
        key = cast(object, self._auth.key(uri))
        if not isinstance(key, str):
            raise TypeError(f"the key of Isolated must return a str, not {type(key).__name__}")
        return key.encode("utf-8", "surrogatepass")


def _check(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise ValueError(f"{name} cannot be encoded in UTF-8: it has a lone surrogate") from None
    if not 1 <= size <= 255:
        raise ValueError(f"{name} must be 1 to 255 bytes long in UTF-8 (RFC 1929), not {size}")
