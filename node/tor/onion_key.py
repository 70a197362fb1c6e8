"""The private key of the node's onion service: a file that only its owner can read, made once.

It is in the form that Tor takes, ``ED25519-V3:`` and base64 of the expanded key (control-spec 3.27), as Bitcoin Core
keeps its own. Whoever has it can take over the onion address.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

__all__ = ["expand_seed", "make_onion_key", "read_onion_key"]

PREFIX = "ED25519-V3:"

KEY_SIZE = 64
"""Bytes of an expanded key: the scalar, and the secret prefix for signatures."""

MAX_FILE = 1024


def expand_seed(seed: bytes) -> bytes:
    """Expand a secret key of 32 bytes to the form that signs (RFC 8032 section 5.1.5)."""
    expanded = bytearray(hashlib.sha512(seed).digest())
    expanded[0] &= 0b1111_1000
    expanded[31] &= 0b0011_1111
    expanded[31] |= 0b0100_0000
    return bytes(expanded)


def make_onion_key(path: Path) -> str:
    """Return the key in a file; without one, make a key and store it there with mode 0600.

    Raises:
        OSError: the file cannot be read or written.
        ValueError: what is there is no key, or others may read it; the message is one line.
    """
    with suppress(FileNotFoundError):
        return read_onion_key(path)
    key = PREFIX + base64.b64encode(expand_seed(secrets.token_bytes(32))).decode()
    try:
        _store(path, f"{key}\n")
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(path)) from error  # whatever file it was about
    return key


def read_onion_key(path: Path) -> str:
    """Return the key in a file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no key, or others may read it; the message is one line.
    """
    # Not waited for: a FIFO without a writer would hold up the whole node, its stop included.
    flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
    with open(os.open(path, flags), "rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode):
            raise ValueError(f"the onion key {path} is not a regular file")
        content = file.read(MAX_FILE)
    if mode & 0o077:
        raise ValueError(f"others may read the onion key {path} (mode {mode & 0o777:04o}); run chmod 600 on it")
    try:
        key = content.decode("ascii").strip()
        valid = key.startswith(PREFIX) and len(base64.b64decode(key.removeprefix(PREFIX), validate=True)) == KEY_SIZE
    except (UnicodeDecodeError, binascii.Error):
        key, valid = "", False
    if not valid:
        raise ValueError(f"{path} is no onion key; expected {PREFIX} and {KEY_SIZE} bytes in base64")
    return key


def _store(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    # A half-written key would be refused at the next start, so the name appears only with all of it.
    unfinished.unlink(missing_ok=True)
    try:
        with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(unfinished)  # fails if there is one meanwhile, which rename would replace
        except FileExistsError:
            raise
        except (OSError, NotImplementedError):  # FAT, some network file systems and Android have no hard links
            if path.exists():
                raise
            unfinished.rename(path)
    finally:
        unfinished.unlink(missing_ok=True)
