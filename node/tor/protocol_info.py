"""Tor's answer to PROTOCOLINFO: which Tor it is, and how to authenticate (control-spec 3.21)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ziggurat.node.tor.fields import parse_fields

__all__ = ["ProtocolInfo"]


@dataclass(frozen=True, slots=True)
class ProtocolInfo:
    """What Tor tells before it is authenticated to.

    Attributes:
        methods: the methods of authentication that it offers, also those that nobody knows yet.
        cookie: the path of its cookie; ``None`` if it names none. It is Tor's: in a container it may not exist here.
        version: Tor's version; ``unknown`` if it does not say.
    """

    methods: tuple[str, ...] = ()
    cookie: Path | None = None
    version: str = "unknown"

    @classmethod
    def parse(cls, lines: Iterable[str]) -> ProtocolInfo:
        """Parse the lines of the reply, without their codes. They may be in any order; unknown ones are ignored."""
        methods, cookie, version = tuple[str, ...](), None, "unknown"
        for line in lines:
            word, _, rest = line.partition(" ")
            fields = parse_fields(rest)
            if word == "AUTH":
                methods = tuple(filter(None, fields.get("METHODS", "").split(",")))
                cookie = Path(fields["COOKIEFILE"]) if fields.get("COOKIEFILE") else None
            elif word == "VERSION":
                version = fields.get("Tor", version)
        return cls(methods, cookie, version)
