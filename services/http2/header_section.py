"""A decoded header section, and what HTTP/2 has to say about it (RFC 9113 8.2 and 8.3).

A section is judged once. Servers answer most calls with the same bytes, and `HeaderReader` then returns the same
object, so that whoever reads it can leave its own conclusions there.
"""

from __future__ import annotations

import re
from enum import Enum, auto

__all__ = ["Fields", "HeaderSection", "SectionKind"]

Fields = tuple[tuple[bytes, bytes], ...]
"""Names and values, in order, as they came over the wire."""

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
"""A token (RFC 9110 5.6.2) without upper-case letters (RFC 9113 8.2.1)."""

_FORBIDDEN_IN_VALUE = re.compile(rb"[\0\r\n]")

_CONNECTION_SPECIFIC = frozenset((b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"))
"""Fields that may not appear in HTTP/2 (RFC 9113 8.2.2)."""

_OF_REQUESTS = frozenset((b":method", b":scheme", b":path", b":authority"))


class SectionKind(Enum):
    """What a section is, by its pseudo-header fields (RFC 9113 8.3)."""

    REQUEST = auto()
    RESPONSE = auto()
    TRAILERS = auto()


class HeaderSection:
    """A header or trailer section.

    Attributes:
        fields: names and values in order, pseudo-header fields included.
        kind: what it is. Of a malformed one, what it seems to be.
        fault: what makes it malformed (RFC 9113 8.1.1), in one line; ``None`` for a good one.
        pseudo: the pseudo-header fields by name.
        content_length: the value of that field; ``None`` without one.
        announced: how much content follows by it. A 304 says how much there would be, and has none (RFC 9113 8.1.1).
        informational: whether it is a 1xx response, which another response follows (RFC 9113 8.1).
        memo: for whoever reads the section; `None` at first.
    """

    __slots__ = ("announced", "content_length", "fault", "fields", "informational", "kind", "memo", "pseudo")

    def __init__(self, fields: Fields, fault: str | None = None) -> None:
        self.fields = fields
        self.fault = fault
        self.pseudo: dict[bytes, bytes] = {}
        self.content_length: int | None = None
        self.memo: object = None
        self._judge()
        status = self.pseudo.get(b":status")
        if status is not None:
            self.kind = SectionKind.RESPONSE
        elif self.pseudo:
            self.kind = SectionKind.REQUEST
        else:
            self.kind = SectionKind.TRAILERS
        self.informational = status is not None and len(status) == 3 and status[:1] == b"1"
        self.announced = None if status == b"304" else self.content_length
        self._judge_pseudo()

    def _judge(self) -> None:
        pseudo = self.pseudo
        regular = False
        for name, value in self.fields:
            if name[:1] == b":":
                if regular:
                    self._blame(f"{_shown(name)} after a regular field")
                elif name in pseudo:
                    self._blame(f"{_shown(name)} twice")
                pseudo[name] = value
            else:
                regular = True
                if not _NAME.fullmatch(name):
                    self._blame(f"the field name {_shown(name)}")
                elif name in _CONNECTION_SPECIFIC or (name == b"te" and value != b"trailers"):
                    self._blame(f"the connection-specific field {_shown(name)}")
                elif name == b"content-length":
                    self._take_content_length(value)
            if _FORBIDDEN_IN_VALUE.search(value):
                self._blame(f"a NUL or line break in the value of {_shown(name)}")

    def _take_content_length(self, value: bytes) -> None:
        if not value.isdigit() or len(value) > 18 or self.content_length not in (None, int(value)):
            self._blame(f"the content-length {_shown(value)}")
        else:
            self.content_length = int(value)

    def _judge_pseudo(self) -> None:
        pseudo = self.pseudo
        if self.kind is SectionKind.RESPONSE:
            status = pseudo[b":status"]
            if len(pseudo) > 1:
                self._blame("pseudo-header fields beside :status")
            elif len(status) != 3 or not status.isdigit() or status == b"101":  # no protocol is switched (8.6)
                self._blame(f"the :status {_shown(status)}")
        elif self.kind is SectionKind.REQUEST:
            if not _OF_REQUESTS.issuperset(pseudo):
                unknown = next(name for name in pseudo if name not in _OF_REQUESTS)
                self._blame(f"the unknown pseudo-header field {_shown(unknown)}")
            elif pseudo.get(b":method") == b"CONNECT":
                if b":scheme" in pseudo or b":path" in pseudo or b":authority" not in pseudo:
                    self._blame("a CONNECT request needs :authority alone (RFC 9113 8.5)")
            else:
                for name in (b":method", b":scheme", b":path"):
                    if not pseudo.get(name):
                        self._blame(f"the request has no {_shown(name)}")
                path = pseudo.get(b":path", b"")
                if path[:1] != b"/" and pseudo.get(b":scheme") in (b"http", b"https") and path != b"*":
                    self._blame(f"the :path {_shown(path)}")

    def _blame(self, fault: str) -> None:
        self.fault = self.fault or fault

    def get(self, name: bytes) -> bytes | None:
        """Return the value of the last field of that name; ``None`` if there is none."""
        for given, value in reversed(self.fields):
            if given == name:
                return value
        return None

    def __repr__(self) -> str:
        return f"HeaderSection({self.kind.name}, {len(self.fields)} fields{', malformed' if self.fault else ''})"


def _shown(text: bytes) -> str:
    return ascii(text[:40])[2:-1] if text else "''"
