"""What Tor's SOCKS port means by its reply codes: whose fault it is, and when to try again.

Codes F0 to F7 are sent only with ``ExtendedErrors`` on the SocksPort line (Tor proposal 304); without it Tor says 01 or
04 instead. An exit that is refused a connection says 01, not 05.
"""

from __future__ import annotations

import enum
from typing import Literal, TypeAlias

from ziggurat.layers.socks5.replies import reply

__all__ = ["Fault", "Retry", "TorReply"]

Fault: TypeAlias = Literal["target", "ours", "unknown"]
Retry: TypeAlias = Literal["soon", "later", "never"]


class TorReply(enum.IntEnum):
    """A reply code of Tor's SOCKS port, as in `ProxyRefused.reply_code`."""

    GENERAL_FAILURE = 0x01
    NOT_ALLOWED = 0x02
    HOST_UNREACHABLE = 0x04
    CONNECTION_REFUSED = 0x05
    TIMED_OUT = 0x06
    COMMAND_NOT_SUPPORTED = 0x07
    ADDRESS_TYPE_NOT_SUPPORTED = 0x08
    DESCRIPTOR_NOT_FOUND = 0xF0
    DESCRIPTOR_INVALID = 0xF1
    INTRODUCTION_FAILED = 0xF2
    RENDEZVOUS_FAILED = 0xF3
    CLIENT_AUTH_MISSING = 0xF4
    CLIENT_AUTH_WRONG = 0xF5
    BAD_ADDRESS = 0xF6
    INTRODUCTION_TIMED_OUT = 0xF7

    @property
    def meaning(self) -> str:
        """What it says, in a few words."""
        return reply(self).name

    @property
    def hint(self) -> str | None:
        """What to do about it; ``None`` if there is nothing to say."""
        return reply(self).hint

    @property
    def fault(self) -> Fault:
        """Whose fault it is.

        ``"target"``: Tor works, and the target does not answer. ``"ours"``: our address, our keys or Tor's settings.
        ``"unknown"``: it may be the target, the exit, or the network of this machine, so no target is to blame.
        """
        return _JUDGED[self][0]

    @property
    def retry(self) -> Retry:
        """When the same dial may succeed: ``"soon"``, after a backoff of seconds; ``"later"``, after minutes, since
        Tor itself remembers the failure or the service has to publish anew; ``"never"`` without a change."""
        return _JUDGED[self][1]


_JUDGED: dict[TorReply, tuple[Fault, Retry]] = {
    TorReply.GENERAL_FAILURE: ("unknown", "soon"),
    TorReply.NOT_ALLOWED: ("ours", "never"),
    TorReply.HOST_UNREACHABLE: ("target", "later"),
    TorReply.CONNECTION_REFUSED: ("target", "later"),
    TorReply.TIMED_OUT: ("unknown", "soon"),
    TorReply.COMMAND_NOT_SUPPORTED: ("ours", "never"),
    TorReply.ADDRESS_TYPE_NOT_SUPPORTED: ("ours", "never"),
    TorReply.DESCRIPTOR_NOT_FOUND: ("target", "later"),
    TorReply.DESCRIPTOR_INVALID: ("target", "later"),
    TorReply.INTRODUCTION_FAILED: ("target", "soon"),
    TorReply.RENDEZVOUS_FAILED: ("unknown", "soon"),
    TorReply.CLIENT_AUTH_MISSING: ("ours", "never"),
    TorReply.CLIENT_AUTH_WRONG: ("ours", "never"),
    TorReply.BAD_ADDRESS: ("ours", "never"),
    TorReply.INTRODUCTION_TIMED_OUT: ("target", "soon"),
}
