"""The address of a Tor onion service, version 3 (rend-spec-v3, section "Encoding onion addresses").

It is its public key, with a checksum, so that a mistyped one is known before anything is dialled.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

__all__ = ["OnionAddress", "is_onion"]

LENGTH = 56
"""Characters of base32, which are 35 bytes: the key, two of a checksum, the version."""

LENGTH_OF_VERSION_2 = 16

VERSION = b"\x03"

DIGITS = str.maketrans(
    "abcdefghijklmnopqrstuvwxyz234567" + "0189_+- \t\n\r\v\f", "0123456789abcdefghijklmnopqrstuv" + "!" * 13
)
"""From the digits of base32 (RFC 4648 section 6) to those of `int`, and to none from what `int` would also take."""


def is_onion(host: str) -> bool:
    """Return whether a host name is under ``.onion``, and so known to Tor alone (RFC 7686); it need not be valid."""
    return host.lower().rstrip(".").rpartition(".")[2] == "onion"


@dataclass(frozen=True, slots=True)
class OnionAddress:
    """A valid address of an onion service. ``str()`` is its name, in lower case and with ``.onion``.

    Attributes:
        public_key: the service's Ed25519 key, 32 bytes.

    Raises:
        ValueError: the key has another length.
    """

    public_key: bytes

    def __post_init__(self) -> None:
        if len(self.public_key) != 32:
            raise ValueError(f"the public key of an onion service has 32 bytes, not {len(self.public_key)}")

    @classmethod
    def parse(cls, name: str) -> OnionAddress:
        """Parse the name of an onion service. Labels before it are ignored, as Tor does it.

        Raises:
            ValueError: it is none; the message quotes it and says what is wrong.
        """
        if not is_onion(name):
            raise ValueError(f"bad onion address: {name!r} does not end in .onion")
        label = name.lower().rstrip(".").removesuffix("onion").removesuffix(".").rpartition(".")[2]
        if len(label) == LENGTH_OF_VERSION_2:
            raise ValueError(f"bad onion address: {name!r} is of version 2, which Tor dropped in 2021")
        if len(label) != LENGTH:
            raise ValueError(f"bad onion address: {name!r} has {len(label)} characters before .onion, not {LENGTH}")
        try:
            # A tenth of what base64.b32decode takes: peers gossip thousands of names at once.
            data = int(label.translate(DIGITS) if label.isascii() else "", 32).to_bytes(35, "big")
        except ValueError:
            raise ValueError(f"bad onion address: {name!r} has a character other than a-z and 2-7") from None
        key, checksum, version = data[:32], data[32:34], data[34:]
        if version != VERSION:
            raise ValueError(f"bad onion address: {name!r} is of version {version[0]}, not 3; it is mistyped")
        if checksum != _checksum(key):
            raise ValueError(f"bad onion address: the checksum of {name!r} is wrong; it is mistyped")
        return cls(key)

    def __str__(self) -> str:
        data = self.public_key + _checksum(self.public_key) + VERSION
        return f"{base64.b32encode(data).decode().lower()}.onion"


def _checksum(key: bytes) -> bytes:
    return hashlib.sha3_256(b".onion checksum" + key + VERSION).digest()[:2]
