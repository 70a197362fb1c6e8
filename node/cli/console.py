"""The log for people: what happened, in a sentence, and the event's name behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias, cast

from structlog.typing import EventDict, WrappedLogger

from ziggurat.node.cli.terminal import Paint
from ziggurat.services.errors import fold

__all__ = ["ConsoleRenderer", "sentence"]

Fields: TypeAlias = Mapping[str, object]

COLOURS = {"warning": "yellow", "error": "red", "critical": "red", "debug": "dim"}

OMITTED_KEYS = frozenset({"event", "level", "timestamp"})


def _after(event: Fields) -> str:
    elapsed = event.get("elapsed")
    return f" after {elapsed:.2f} s" if isinstance(elapsed, int | float) else ""


def _via(event: Fields, word: str = "through") -> str:
    return f" {word} {event['via']}" if event.get("via") else ""


def _hint(event: Fields) -> str:
    return f"; {event['hint']}" if event.get("hint") else ""


def _connected(event: Fields) -> str:
    who = f"{event.get('user_agent') or 'no user agent'}, protocol {event.get('protocol_version')}"
    if event.get("direction") == "inbound":
        return f"peer {event.get('peer')} has connected to us ({who})"
    return f"connected to peer {event.get('peer')}{_via(event)}{_after(event)} ({who})"


def _refused(event: Fields) -> str:
    more = f", and {event['more']} more like it" if event.get("more") else ""
    return f"no connection with peer {event.get('peer')}: {event.get('reason')}{more}{_hint(event)}"


def _failed(event: Fields) -> str:
    phase = f" at {event['phase']}" if event.get("phase") else ""
    return f"could not reach {event.get('target')}{_via(event)}: failed{phase}{_after(event)}: {event.get('error')}"


def _started(event: Fields) -> str:
    listen = f"listens on {event['listen']}" if event.get("listen") else "listens nowhere"
    if event.get("advertised") not in (None, event.get("listen")):
        listen += f", tells others that it is {event['advertised']}"
    way = f"dials through {event['via']}" if event.get("via") else "dials directly"
    return (
        f"the node runs on {event.get('network')}: it {listen} and {way}; it keeps its data in {event.get('directory')}"
    )


def _status(event: Fields) -> str:
    return (
        f"{event.get('outbound')} of {event.get('outbound_target')} outbound peers, {event.get('inbound')} of at most "
        f"{event.get('inbound_limit')} inbound, {event.get('addresses')} addresses known"
    )


def _names(event: Fields) -> str:
    return ", ".join(cast("list[str]", event.get("names", [])))


SENTENCES: dict[str, Callable[[Fields], str]] = {
    "node.started": _started,
    "node.status": _status,
    "node.stopping": lambda e: f"stopping on {e.get('signal')}: each peer is told",
    "node.stopped": lambda e: "the node has stopped",
    "dial.started": lambda e: f"dialling {e.get('target')}",
    "dial.connected": lambda e: f"reached {e.get('target')}{_via(e)}{_after(e)}",
    "dial.failed": _failed,
    "dial.crashed": lambda e: f"a bug in the dial to {e.get('target')}: {e.get('error')}",
    "peer.connected": _connected,
    "peer.refused": _refused,
    "peer.disconnected": lambda e: f"peer {e.get('peer')} is gone: {e.get('reason')}",
    "flow.failed": lambda e: f"a bug in the flow of peer {e.get('peer')}: {e.get('error')}",
    "addresses.loaded": lambda e: f"{e.get('count')} addresses are known from before",
    "addresses.stored": lambda e: f"{e.get('count')} new addresses are stored, {e.get('total')} in all",
    "addresses.not_stored": lambda e: f"addresses could not be stored, which is tried again: {e.get('error')}",
    "addresses.set_aside": lambda e: (
        f"the address book {e.get('path')} was damaged ({e.get('error')}); "
        f"it is now {e.get('moved_to')}, and a new one was begun"
    ),
    "keepalive.skipped": lambda e: f"no TCP keepalive: {e.get('reason')}",
    "outbound.missing": lambda e: f"{e.get('count')} of {e.get('target')} outbound peers are missing",
    "seeder.answered": lambda e: f"seeder {e.get('seeder')} knows {e.get('count')} addresses",
    "seeder.by_name": lambda e: f"seeder {e.get('seeder')} is dialled by its name: {e.get('via')} looks no names up",
    "seeder.failed": lambda e: f"seeder {e.get('seeder')} is of no help: {e.get('error')}",
    "externalip.ignored": lambda e: f"not advertised: --externalip {e.get('address')}: {e.get('reason')}",
    "settings.ignored": lambda e: f"settings of kaspad's that mean nothing here: {_names(e)}",
    "environment.ignored": lambda e: f"not obeyed: {_names(e)}; a proxy is set with --socks5-proxy",
}
"""Of each event that the node writes; what is not here shows its keys and values."""


def sentence(event: Fields) -> str:
    """What happened, in words: one line, whatever a peer put into it."""
    make = SENTENCES.get(str(event.get("event")))
    if make is not None:
        return fold(make(event))
    return fold(
        " ".join(f"{key}={value}" for key, value in event.items() if key not in OMITTED_KEYS and value is not None)
    )


class ConsoleRenderer:
    """The last of structlog's processors: time, sentence, and the event's name."""

    def __init__(self, paint: Paint) -> None:
        self._paint = paint

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> str:
        exception = event.pop("exception", None)
        colour = COLOURS.get(str(event.get("level")))
        text = sentence(event)
        shown = text if colour is None else self._paint(colour, text)
        name = self._paint("dim", f"[{event['event']}]")
        line = f"{self._paint('dim', str(event.get('timestamp')))} {shown} {name}"
        return line if exception is None else f"{line}\n{exception}"
