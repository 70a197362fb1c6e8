"""The meaning of SOCKS5 reply codes, and what to do about each.

Codes 01 to 08 are RFC 1928 section 6; F0 to F7 are Tor's extended errors (``ExtendedErrors`` on the SocksPort line,
Tor proposal 304).
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Reply", "reply"]


class Reply(NamedTuple):
    """A reply code's name, the hint for the user, and whether the same dial may succeed later."""

    name: str
    hint: str | None
    transient: bool


REPLIES = {
    0x01: Reply("general failure", "the proxy gives no reason; Tor also sends this for a refused port", True),
    0x02: Reply("not allowed by its rules", "its configuration must allow this target", False),
    0x03: Reply("network unreachable", "the proxy has no route to the target", True),
    0x04: Reply("host unreachable", "the proxy cannot resolve or reach the target's host", True),
    0x05: Reply("connection refused", "the target's host is up, but nothing listens on the port", True),
    0x06: Reply("TTL expired", "from Tor this means a timeout; the target may be down", True),
    0x07: Reply("command not supported", "the proxy does not support CONNECT", False),
    0x08: Reply("address type not supported", "try literals='domain'", False),
    0xF0: Reply("onion service descriptor not found", "the onion service is down, or its name is wrong", True),
    0xF1: Reply("onion service descriptor invalid", "the onion service published a broken descriptor", True),
    0xF2: Reply("onion service introduction failed", "the onion service has just gone, or is overloaded", True),
    0xF3: Reply("onion service rendezvous failed", "try again", True),
    0xF4: Reply("onion service client authorization missing", "add the service's client key to Tor", False),
    0xF5: Reply("onion service client authorization wrong", "the service does not accept Tor's client key", False),
    0xF6: Reply("onion service address invalid", "the onion name is mistyped: its checksum is wrong", False),
    0xF7: Reply("onion service introduction timed out", "the onion service is down or overloaded", True),
}


def reply(code: int) -> Reply:
    """Return the meaning of a reply code, 1 to 255. An unknown code counts as transient."""
    return REPLIES.get(code, Reply("unknown reply", None, True))
