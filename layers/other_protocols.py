"""What a server speaks that is not the expected proxy, by the first bytes that it sends."""

from __future__ import annotations

__all__ = ["other_protocol"]

BY_FIRST_BYTE = {
    0x04: "SOCKS4",
    0x05: "SOCKS5",
    0x15: "TLS",  # an alert (RFC 8446 5.1): our first message is no ClientHello
    0x16: "TLS",  # a handshake
    ord("2"): "FTP or SMTP",  # "220 ", a greeting
    ord("<"): "HTTP",  # an error page without headers
    ord("H"): "HTTP",
    ord("S"): "SSH",
}

SOCKS4_REPLIES = range(0x5A, 0x5E)
"""The reply's second byte; its first is 0."""


def other_protocol(first: bytes) -> str | None:
    """Return what is wrong with a reply that is not of the expected protocol, e.g. ``it speaks HTTP``.

    Args:
        first: its first byte, or first two.

    Returns:
        ``None`` for one byte that is not enough: an HTTP/2 server begins with a SETTINGS frame (RFC 9113 3.4), whose
        length begins with two zeros, and SOCKS4 with one.
    """
    if first[0] == 0:
        if len(first) == 1:
            return None
        if first[1] == 0:
            return "it speaks HTTP/2"
        if first[1] in SOCKS4_REPLIES:
            return "it speaks SOCKS4"
    name = BY_FIRST_BYTE.get(first[0])
    return f"its reply begins with {first.hex(' ')}" if name is None else f"it speaks {name}"
