"""What can be banned: an IP, a network, or the user agents that match a pattern."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import translate
from functools import cached_property
from typing import TypeAlias

from ziggurat.node.ip_network import IpNetwork, network_text, parse_network

__all__ = ["BAN_SYNTAX", "Ban", "BanTarget", "UserAgentPattern", "ban_text", "parse_ban"]

BAN_SYNTAX = "IP, IP/BITS or agent:PATTERN"

AGENT = "agent:"
"""Starts a pattern. Without it, an address with a typo would be taken for a pattern that matches nobody."""

MAX_PATTERN = 256
"""Characters; a user agent has at most as many bytes."""


@dataclass(frozen=True)
class UserAgentPattern:
    """A shell pattern (``*``, ``?``, ``[..]``) that the whole user agent has to match, in upper or lower case.

    Attributes:
        text: the pattern, in lower case.

    Raises:
        ValueError: the pattern matches every user agent, is too long, or has unprintable characters.
    """

    text: str

    def __post_init__(self) -> None:
        if not self.text.strip("* "):
            raise ValueError(f"{self.text!r} matches every user agent")
        if not self.text.isprintable() or len(self.text) > MAX_PATTERN:
            raise ValueError(f"a pattern has at most {MAX_PATTERN} characters, all of them printable")
        object.__setattr__(self, "text", self.text.lower())

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        return re.compile(translate(self.text), re.IGNORECASE)

    def matches(self, user_agent: str) -> bool:
        """Return whether a user agent matches."""
        return self._regex.match(user_agent) is not None


BanTarget: TypeAlias = IpNetwork | UserAgentPattern
"""What is banned; a single IP is a network of one address."""


def parse_ban(text: str) -> BanTarget:
    """Parse ``IP``, ``IP/BITS`` or ``agent:PATTERN``; addresses as `parse_network` does.

    Raises:
        ValueError: the text is none of them; the message says what to write.
    """
    if text.startswith(AGENT):
        return UserAgentPattern(text.removeprefix(AGENT).strip())
    return parse_network(text)


def ban_text(what: BanTarget) -> str:
    """Return what is banned as `parse_ban` reads it."""
    return f"{AGENT}{what.text}" if isinstance(what, UserAgentPattern) else network_text(what)


@dataclass(frozen=True, slots=True)
class Ban:
    """A ban.

    Attributes:
        what: what is banned.
        until: the time of its end, in seconds since 1970; ``None`` for a ban without an end.
        by_settings: whether it comes from the settings, so that `BanList.unban` cannot lift it.
    """

    what: BanTarget
    until: float | None = None
    by_settings: bool = False

    def has_ended(self, now: float) -> bool:
        """Return whether the ban is over, at a time in seconds since 1970."""
        return self.until is not None and self.until <= now

    @property
    def end(self) -> str | None:
        """The time of its end in UTC, ISO 8601; ``None`` for a ban without an end."""
        if self.until is None:
            return None
        return datetime.fromtimestamp(self.until, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def __str__(self) -> str:
        return ban_text(self.what)
