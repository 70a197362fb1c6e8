"""Tor's events as it sends them (control-spec 4.1), in one line each, and the reader that takes them out of the stream.

They are read here and not by the library, which drops an event whole if it does not know one of its words: a reason
that a later Tor invents, or a bridge without an address.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ziggurat.node.tor.controller import Bootstrap, Circuits, DescriptorUpload, TorError, TorEvent
from ziggurat.node.tor.fields import parse_fields

__all__ = ["EventReader", "parse_event"]

MAX_LINE = 100_000
"""Bytes of a line from Tor, as in Bitcoin Core."""

MAX_REPLY = 4 * 1024 * 1024
"""Bytes of a reply's lines, which the library collects. The longest that is asked for lists Tor's circuits."""

EVENT = "650 "

OURS = ("650 STATUS_CLIENT ", "650 HS_DESC ")


def parse_event(text: str) -> TorEvent | None:
    """Parse an event, without its code. Return ``None`` for one that says nothing we ask for."""
    word, _, rest = text.partition(" ")
    if word == "STATUS_CLIENT":
        _, _, action_and_more = rest.partition(" ")
        return _status(*action_and_more.partition(" ")[::2])
    return _upload(rest.split()) if word == "HS_DESC" else None


def _status(action: str, arguments: str) -> TorEvent | None:
    if action == "BOOTSTRAP":
        try:
            return Bootstrap.parse(arguments)
        except TorError:
            return None
    if action == "CIRCUIT_NOT_ESTABLISHED":
        return Circuits(parse_fields(arguments).get("REASON", "no reason given"))
    return Circuits(None) if action == "CIRCUIT_ESTABLISHED" else None


def _upload(words: list[str]) -> DescriptorUpload | None:
    if len(words) < 4:
        return None
    action, service, _, directory, *more = words
    names = ("REASON=", "REPLICA=", "HSDIR_INDEX=")
    descriptor = more[0] if more and not more[0].startswith(names) else None
    reason = parse_fields(" ".join(more)).get("REASON")
    return DescriptorUpload(action, service.removesuffix(".onion"), directory, descriptor, reason)


class EventReader(asyncio.StreamReader):
    """Hands our events to ``take``; every other line is read as usual. What is not ASCII is escaped.

    A line or a reply that is too long ends the reading with a `ValueError`.

    Args:
        take: called with each event; it must not raise.
    """

    def __init__(self, take: Callable[[TorEvent], object], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(limit=MAX_LINE, loop=loop)
        self._take_event = take
        self._in_data = False  # lines of a reply's data are no events, whatever they begin with
        self._size = 0  # bytes of the reply so far

    async def readline(self) -> bytes:
        while True:
            line = (await super().readline()).decode("ascii", "backslashreplace")
            if self._in_data:
                self._in_data = line.rstrip("\r\n") != "."
            elif line.startswith(OURS):
                whole = line.endswith("\n")  # otherwise the connection was cut within it
                event = parse_event(line.removeprefix(EVENT).rstrip("\r\n")) if whole else None
                if event is not None:
                    self._take_event(event)
                continue
            else:
                self._in_data = line[3:4] == "+"
            self._size = 0 if line[3:4] == " " and not self._in_data else self._size + len(line)
            if self._size > MAX_REPLY:
                raise ValueError(f"a reply of more than {MAX_REPLY} bytes")
            return line.encode()
