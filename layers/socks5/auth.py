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
from typing import TypeAlias

from ziggurat.services.uri import Uri

__all__ = ["Auth", "Credentials", "Isolated", "UserPass", "credentials_source"]

SECRET_BYTES = 16
"""Random bytes in a credential: as many as in a UUID, so that no two dials share a circuit by chance."""


@dataclass(frozen=True, slots=True)
class UserPass:
    """User name and password (RFC 1929). ``repr`` hides the password.

    Raises:
        ValueError: one of them is empty or longer than 255 bytes in UTF-8.
    """

    username: str
    password: str = field(repr=False)

    def __post_init__(self) -> None:
        for name, value in (("username", self.username), ("password", self.password)):
            size = len(value.encode())
            if not 1 <= size <= 255:
                raise ValueError(f"{name} must be 1 to 255 bytes long in UTF-8 (RFC 1929), not {size}")

    def __repr__(self) -> str:
        return f"UserPass({self.username!r}, '***')"


@dataclass(frozen=True, slots=True)
class Isolated:
    """Fresh random credentials, so that Tor uses a separate circuit for each dial, or for each key.

    Args:
        key: a function of the target; dials with equal keys share credentials. ``None`` gives each dial its own.
        required: ``True`` fails the dial if the proxy does not support authentication. ``False`` also offers "no
            authentication", and the ledger then notes that nothing was isolated.
    """

    key: Callable[[Uri], str] | None = None
    required: bool = True


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
    return _isolating(auth)


def _isolating(auth: Isolated) -> Callable[[Uri], Credentials]:
    key, required = auth.key, auth.required
    secret = secrets.token_bytes(32)

    def fresh(uri: Uri) -> Credentials:
        if key is None:
            token = secrets.token_hex(2 * SECRET_BYTES)
        else:
            # Derived rather than stored: memory does not grow with the number of keys, and keeps no targets.
            token = hmac.new(secret, key(uri).encode(), hashlib.sha256).hexdigest()
        half = 2 * SECRET_BYTES
        return Credentials(token[:half].encode(), token[half:].encode(), required, isolating=True)

    return fresh
