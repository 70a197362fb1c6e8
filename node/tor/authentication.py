"""How to authenticate to Tor's control port (control-spec 3.5 and 3.24).

What the user gave decides: with a password or a cookie nothing weaker is tried, not even where Tor asks for nothing,
since then something other than the user's Tor may have answered. Plain COOKIE is never used: it hands the content of a
file to whoever listens.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from ziggurat.node.tor.controller import TorError
from ziggurat.services.errors import one_line

__all__ = ["ControlCredentials", "choose_method", "read_cookie", "read_password"]

COOKIE_SIZE = 32
"""Bytes. A file of another size is none, and nothing of it is used (control-spec 3.24)."""

MAX_PASSWORD_FILE = 4096
"""Bytes."""


@dataclass(frozen=True, slots=True)
class ControlCredentials:
    """What the user gave for the control port; at most one of the two.

    Attributes:
        password_file: the file with the password, read anew for each connection; ``None`` without one.
        cookie: the cookie file; ``None`` takes the one that Tor names.

    Raises:
        ValueError: both are given.
    """

    password_file: Path | None = field(default=None)
    cookie: Path | None = field(default=None)

    def __post_init__(self) -> None:
        if self.password_file is not None and self.cookie is not None:
            raise ValueError("a password and a cookie are mutually exclusive")


def choose_method(offered: Collection[str], credentials: ControlCredentials) -> str:
    """Return ``HASHEDPASSWORD``, ``SAFECOOKIE`` or ``NULL``.

    Args:
        offered: the methods that Tor offers.
        credentials: what the user gave.

    Raises:
        TorError: none of Tor's methods will do; the message says what to do.
    """
    wanted = "HASHEDPASSWORD" if credentials.password_file is not None else None
    wanted = "SAFECOOKIE" if credentials.cookie is not None else wanted
    if wanted is not None:
        if wanted not in offered:
            setting = "HashedControlPassword" if wanted == "HASHEDPASSWORD" else "CookieAuthentication 1"
            raise TorError(f"Tor does not offer {wanted} (it needs {setting}), but {_listed(offered)}")
        return wanted
    for method in ("NULL", "SAFECOOKIE"):
        if method in offered:
            return method
    raise TorError(f"Tor wants {_listed(offered)}; give --tor-password-file or --tor-cookie")


def read_password(path: Path) -> str:
    """Return the password: the file's first line.

    Raises:
        TorError: the file cannot be read, or the line is empty. The message does not contain the password.
    """
    try:
        line = _read(path, MAX_PASSWORD_FILE).decode("utf-8").partition("\n")[0]
    except (OSError, ValueError) as error:
        raise TorError(f"cannot read the password of Tor's control port from {path}: {_reason(error)}") from error
    password = line.rstrip("\r").removeprefix("\ufeff")  # an editor's byte order mark is no part of it
    if not password:
        raise TorError(f"{path} has no password of Tor's control port in its first line")
    return password


def read_cookie(path: Path) -> bytes:
    """Return the cookie of 32 bytes.

    Raises:
        TorError: the file cannot be read, or has another size.
    """
    try:
        cookie = _read(path, COOKIE_SIZE + 1)
    except (OSError, ValueError) as error:
        hint = ""
        if isinstance(error, PermissionError):
            hint = "; this user must be in the group that may read it and its directory, since before the node's start"
        elif isinstance(error, FileNotFoundError):
            hint = "; where Tor runs in a container, --tor-cookie names it as it is seen here"
        raise TorError(f"cannot read Tor's cookie {one_line(str(path))}: {_reason(error)}{hint}") from error
    if len(cookie) != COOKIE_SIZE:
        raise TorError(f"{path} is no cookie of Tor's control port: it has not {COOKIE_SIZE} bytes")
    return cookie


def _read(path: Path, size: int) -> bytes:
    """Read the beginning of a file. What is none is refused, and not waited for: the path may be another's word."""
    flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
    with open(os.open(path, flags), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("not a regular file")
        return file.read(size)


def _listed(methods: Collection[str]) -> str:
    return ", ".join(sorted(methods)) or "no method"


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not text"
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)
