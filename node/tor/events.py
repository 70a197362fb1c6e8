"""Read Tor's events (control-spec 4.1), as much of them as we use.

A field that is new, or another order of those that have names, is no error, and what cannot be read is left out: it
costs this event, and not the connection. Streams show the SOCKS credentials of their programs, which nothing here keeps
or quotes.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from ziggurat.node.tor.controller import Bootstrap, Circuits, DescriptorUpload, StreamChange, TorError, TorEvent
from ziggurat.node.tor.fields import parse_fields

__all__ = ["WORDS", "EventLines", "parse_event"]

MAX_LINE = 100_000
"""Bytes of a line from Tor, as in Bitcoin Core."""

PREFIX = b"650 "
"""Of an event of one line. The others have ``650-`` or ``650+``, and we ask for none of them."""

_PORT = re.compile(r".*:([0-9]{1,5})", re.DOTALL)

_DESCRIPTOR = re.compile(r"[A-Za-z0-9+/]+=*")


def parse_event(text: str) -> TorEvent | None:
    """Parse an event of one line, without its ``650``; ``None`` for one that we do not use, or that is malformed."""
    word, _, rest = text.partition(" ")
    parse = _PARSERS.get(word)
    if parse is None:
        return None
    try:
        return parse(rest.split(" "))
    except (TorError, ValueError):
        return None


def _status(words: list[str]) -> TorEvent | None:
    _, action, *rest = words
    if action == "BOOTSTRAP":
        return Bootstrap.parse(" ".join(rest))
    if action == "CIRCUIT_NOT_ESTABLISHED":
        return Circuits(parse_fields(" ".join(rest)).get("REASON", "no reason given"))
    return Circuits(None) if action == "CIRCUIT_ESTABLISHED" else None


def _upload(words: list[str]) -> TorEvent:
    action, service, _, directory, *rest = words
    descriptor = rest[0] if rest and _DESCRIPTOR.fullmatch(rest[0]) else None
    reason = parse_fields(" ".join(rest)).get("REASON")
    return DescriptorUpload(action, service.removesuffix(".onion"), directory, descriptor, reason)


def _stream(words: list[str]) -> TorEvent:
    stream, status, circuit, target, *rest = words
    # A program on a unix socket has the socket's path there, and port 0.
    source = _PORT.fullmatch(parse_fields(" ".join(rest)).get("SOURCE_ADDR", ""))
    port = 0 if source is None else int(source[1])
    return StreamChange(stream, status, None if circuit == "0" else circuit, target.lower(), port or None)


_PARSERS: dict[str, Callable[[list[str]], TorEvent | None]] = {
    "STATUS_CLIENT": _status,
    "HS_DESC": _upload,
    "STREAM": _stream,
}

WORDS = tuple(_PARSERS)
"""The events to ask for with SETEVENTS."""


class EventLines:
    """Takes the events out of what Tor sends, sans-I/O. The replies are for the library that asked.

    The library would parse events as well, but rejects an event with anything unexpected in it, and then logs all of
    it, credentials of streams included.

    Args:
        take: called with the text of each event of one line, without its ``650``. It must not raise.

    Attributes:
        unfinished: bytes of the reply so far, if its last line has not come yet.
    """

    def __init__(self, take: Callable[[str], object]) -> None:
        self.unfinished = 0
        self._take = take
        self._line = b""  # the beginning of a line
        self._in_data = False  # in the lines of a reply that end with a dot (control-spec 2.3)
        self._in_event = False  # in an event of several lines
        self._skipping = False  # to the end of an event that is too long

    def receive(self, data: bytes) -> bytes:
        """Process what Tor sent, and return what is left for the library."""
        *lines, self._line = (self._line + data).split(b"\n")
        if self._skipping and lines:
            del lines[0]
            self._skipping = False
        left: list[bytes] = []
        for line in lines:
            in_data = self._in_data
            if not self._is_taken(line):
                left.append(line + b"\n")
                self.unfinished = 0 if line[3:4] == b" " and not in_data else self.unfinished + len(line)
        if len(self._line) > MAX_LINE or self._skipping:
            if self._skipping or (self._line.startswith(PREFIX) and not self._in_data):
                self._skipping = True
            else:
                left.append(self._line)  # the library gives up on it
            self._line = b""
        return b"".join(left)

    def _is_taken(self, line: bytes) -> bool:
        line = line.removesuffix(b"\r")
        if self._in_data:
            self._in_data = line != b"."
            return False
        kind = line[3:4]
        self._in_data = kind == b"+"
        if not line.startswith(b"650"):
            return False
        several, self._in_event = self._in_event, kind != b" "
        if several or kind != b" ":
            return False
        self._take(line.removeprefix(PREFIX).decode("ascii", "replace"))
        return True
