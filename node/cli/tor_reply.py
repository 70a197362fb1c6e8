"""Explain a reply code of Tor to a user: what it means, whose fault it is, when to try again, and what to do."""

from __future__ import annotations

from ziggurat.layers.tor import TorReply
from ziggurat.services import ConnectError, ProxyError
from ziggurat.services.onion import is_onion

__all__ = ["FAULTS", "RETRIES", "explain_reply", "reply_of"]

ONLY_TOR = range(0xF0, 0x100)
"""Codes that no other proxy sends (Tor proposal 304)."""

FAULTS = {
    "target": "the target's fault, Tor works",
    "ours": "the fault is on this side",
    "unknown": "the cause is unclear",
}

RETRIES = {
    "soon": "may work in a few seconds",
    "later": "may work in some minutes",
    "never": "will not work without a change",
}


def reply_of(error: ConnectError | None, *, tor: bool) -> TorReply | None:
    """Return the code of Tor that made a dial fail; ``None`` if there is none.

    Args:
        error: what the dial raised.
        tor: whether the proxy is known to be Tor. An onion service is reached through nothing else.
    """
    if not isinstance(error, ProxyError) or error.reply_code is None or error.target is None:
        return None
    if not (tor or error.reply_code in ONLY_TOR or is_onion(error.target.host)):
        return None
    return TorReply(error.reply_code) if error.reply_code in _CODES else None


_CODES = frozenset(TorReply)


def explain_reply(reply: TorReply) -> tuple[str, str]:
    """Return what a code means, in a line, and what to do, in another."""
    line = f"Tor's code {reply:#04x}, {reply.meaning}: {FAULTS[reply.fault]}; the same dial {RETRIES[reply.retry]}"
    return line, reply.hint
