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

from ziggurat.layers.redaction import hide_arguments
from ziggurat.layers.user_pass import UserPass
from ziggurat.services.uri import Uri
from ziggurat.services.validation import check_bool

__all__ = ["Auth", "Credentials", "Isolated", "UserPass", "check_lengths", "credentials_source"]

MAX_LENGTH = 255
"""Bytes: each has one length byte (RFC 1929 2). An empty password is outside of the RFC, but usual."""

SECRET_BYTES = 16
"""Random bytes in a credential: as many as in a UUID, so that no two dials share a circuit by chance."""


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
        username, password: at most 255 bytes each.
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
        fixed = Credentials(auth.username.encode(), auth.password.encode(), auth.required)
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


@hide_arguments
def check_lengths(auth: UserPass) -> None:
    """Check that the credentials fit into SOCKS5's messages.

    Raises:
        ValueError: one of them is longer than 255 bytes in UTF-8.
    """
    for name, size in (("username", len(auth.username.encode())), ("password", len(auth.password.encode()))):
        if size > MAX_LENGTH:
            raise ValueError(f"{name} must be at most {MAX_LENGTH} bytes long for SOCKS5 (RFC 1929), not {size}")
