"""What Tor's SOCKS port means by its reply codes: whose fault it is, and when to try again.

Codes F0 to F7 are sent only with ``ExtendedErrors`` on the SocksPort line (Tor proposal 304); without it Tor says 01 or
04 instead. An exit that is refused a connection says 01, not 05.
"""

from __future__ import annotations

import enum
from typing import Literal, NamedTuple, TypeAlias

from ziggurat.layers.socks5.replies import reply

__all__ = ["Fault", "Retry", "TorReply"]

Fault: TypeAlias = Literal["target", "ours", "unknown"]
Retry: TypeAlias = Literal["soon", "later", "never"]


class TorReply(enum.IntEnum):
    """A reply code of Tor's SOCKS port, as in `ProxyRefused.reply_code`."""

    GENERAL_FAILURE = 0x01
    NOT_ALLOWED = 0x02
    NETWORK_UNREACHABLE = 0x03
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
    def hint(self) -> str:
        """What to do about it, in one line. `TorLayer`'s errors have it, those of `Socks5Layer` one for any proxy."""
        return _JUDGED[self].hint

    @property
    def fault(self) -> Fault:
        """Whose fault it is.

        ``"target"``: Tor works, and the target does not answer. ``"ours"``: our address, our keys, Tor's settings or
        its network. ``"unknown"``: it may be the target, the exit, or the network of this machine, so no target is to
        blame.
        """
        return _JUDGED[self].fault

    @property
    def retry(self) -> Retry:
        """When the same dial may succeed: ``"soon"``, after a backoff of seconds; ``"later"``, after minutes, since
        Tor itself remembers the failure or the service has to publish anew; ``"never"`` without a change."""
        return _JUDGED[self].retry


class _Judgement(NamedTuple):
    fault: Fault
    retry: Retry
    hint: str


_JUDGED: dict[TorReply, _Judgement] = {
    TorReply.GENERAL_FAILURE: _Judgement(
        "unknown",
        "soon",
        "an exit was refused the connection, or Tor keeps the reason: set ExtendedErrors on SocksPort",
    ),
    TorReply.NOT_ALLOWED: _Judgement(
        "ours", "never", "a flag of the SocksPort line forbids the target (OnionTrafficOnly, NoOnionTraffic, SafeSocks)"
    ),
    TorReply.NETWORK_UNREACHABLE: _Judgement(
        "ours", "soon", "Tor reaches none of its directories: look at this machine's network, and at Tor's log"
    ),
    TorReply.HOST_UNREACHABLE: _Judgement(
        "target", "later", "check the name: an exit cannot resolve it, or an onion service of that name is not up"
    ),
    TorReply.CONNECTION_REFUSED: _Judgement(
        "target", "later", "check the port: the onion service is up and does not offer it, or the server has closed it"
    ),
    TorReply.TIMED_OUT: _Judgement(
        "unknown", "soon", "Tor gave up after its SocksTimeout: try again; if others time out too, look at Tor's log"
    ),
    TorReply.COMMAND_NOT_SUPPORTED: _Judgement(
        "ours", "never", "Tor knows CONNECT, RESOLVE and RESOLVE_PTR: check that this is Tor's SocksPort"
    ),
    TorReply.ADDRESS_TYPE_NOT_SUPPORTED: _Judgement(
        "ours", "never", "send the address as text (literals='domain'); a reverse look-up needs an address, not a name"
    ),
    TorReply.DESCRIPTOR_NOT_FOUND: _Judgement(
        "target", "later", "check the name; the service is down or was only just started: Tor asks again after a while"
    ),
    TorReply.DESCRIPTOR_INVALID: _Judgement(
        "target", "later", "its operator has to look at the service's Tor; or this Tor is too old to read it: update it"
    ),
    TorReply.INTRODUCTION_FAILED: _Judgement(
        "target", "soon", "the service has just gone, restarted or is overloaded: try again"
    ),
    TorReply.RENDEZVOUS_FAILED: _Judgement(
        "unknown", "soon", "the circuits did not meet: try again, they are new then"
    ),
    TorReply.CLIENT_AUTH_MISSING: _Judgement(
        "ours", "never", "the service is private: put the key that its operator gave you into Tor's ClientOnionAuthDir"
    ),
    TorReply.CLIENT_AUTH_WRONG: _Judgement(
        "ours", "never", "the service does not know the key in Tor's ClientOnionAuthDir: ask its operator for another"
    ),
    TorReply.BAD_ADDRESS: _Judgement(
        "ours", "never", "the name is mistyped or of the old version 2: copy all 56 characters before .onion again"
    ),
    TorReply.INTRODUCTION_TIMED_OUT: _Judgement(
        "target", "soon", "the service is down or overloaded, or a circuit to it is slow: try again"
    ),
}
