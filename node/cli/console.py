"""The log for people: a sentence per event, followed by the event's name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TypeAlias, cast

from structlog.typing import EventDict, WrappedLogger

from ziggurat.node.cli.terminal import Paint
from ziggurat.services.errors import fold

__all__ = ["ConsoleRenderer", "sentence"]

Fields: TypeAlias = Mapping[str, object]

COLOURS = {"warning": "yellow", "error": "red", "critical": "red", "debug": "dim"}

FRACTION = re.compile(r"\.[0-9]+(?=Z$)")
"""Of the seconds in an ISO 8601 time."""

LINE_ABOVE = "\x1b[1A\x1b[2K"
"""Go to the line above, and clear it (ECMA-48: CUU, EL)."""

OMITTED_KEYS = frozenset({"event", "level", "timestamp"})


def _elapsed(event: Fields, preposition: str) -> str:
    elapsed = event.get("elapsed")
    return f" {preposition} {elapsed:.2f} s" if isinstance(elapsed, int | float) else ""


def _via(event: Fields) -> str:
    return f" through {event['via']}" if event.get("via") else ""


def _hint(event: Fields) -> str:
    return f"; {event['hint']}" if event.get("hint") else ""


def _error(event: Fields) -> str:
    return f": {event['error']}" if event.get("error") else ""


def _connected(event: Fields) -> str:
    peer = f"{event.get('user_agent') or 'no user agent'}, protocol {event.get('protocol_version')}"
    if event.get("direction") == "inbound":
        return f"inbound peer {event.get('peer')} connected ({peer})"
    return f"connected to peer {event.get('peer')}{_via(event)}{_elapsed(event, 'in')} ({peer})"


def _refused(event: Fields) -> str:
    more = f" (and {event['more']} more like it)" if event.get("more") else ""
    return f"no connection to peer {event.get('peer')}: {event.get('reason')}{more}{_hint(event)}"


def _failed(event: Fields) -> str:
    phase = f"{event['phase']} failed" if event.get("phase") else "failed"
    elapsed = _elapsed(event, "after")
    return f"could not reach {event.get('target')}{_via(event)}: {phase}{elapsed}: {event.get('error')}"


def _started(event: Fields) -> str:
    listen = f"listening on {event['listen']}" if event.get("listen") else "not listening"
    if event.get("advertised") not in (None, event.get("listen")):
        listen += f" (advertised as {event['advertised']})"
    dial = f"dialling through {event['via']}" if event.get("via") else "dialling directly"
    return f"node started on {event.get('network')}: {listen}, {dial}; data in {event.get('directory')}"


def _status(event: Fields) -> str:
    return (
        f"{event.get('outbound')} of {event.get('outbound_target')} outbound peers, {event.get('inbound')} of at most "
        f"{event.get('inbound_limit')} inbound, {event.get('addresses')} known addresses{_tunnels(event)}"
    )


def _tunnels(event: Fields) -> str:
    tunnels = cast("list[Fields]", event.get("tunnels") or [])
    if not tunnels:
        return ""
    networks = Counter(str(each["network"]) for each in tunnels)
    circuits = {each["circuit"] for each in tunnels} - {None}
    shared = sum(each["isolation"] == "none" for each in tunnels)
    return (
        f"; through a proxy: {', '.join(f'{count} {network}' for network, count in sorted(networks.items()))}"
        f"{f' on {len(circuits)} circuits' if circuits else ''}{f', {shared} not isolated' if shared else ''}"
    )


def _unhandled(event: Fields) -> str:
    error = f": {event['error']}" if event.get("error") else ""
    where = f" ({event['where']})" if event.get("where") else ""
    more = f" (and {event['more']} more like it)" if event.get("more") else ""
    return f"bug: {event.get('message')}{error}{where}{more}"


def _names(event: Fields) -> str:
    return ", ".join(cast("list[str]", event.get("names", [])))


def _forwarded(event: Fields) -> str:
    where = f" to {event['target']}" if event.get("target") else ""
    error = f": {event['error']}" if event.get("error") else ""
    sizes = f"{event.get('sent')} bytes up, {event.get('received')} down"
    return f"connection of {event.get('client')}{where}{_via(event)} closed{_elapsed(event, 'after')}, {sizes}{error}"


SENTENCES: dict[str, Callable[[Fields], str]] = {
    "node.started": _started,
    "node.status": _status,
    "node.stopping": lambda e: f"stopping on {e.get('signal')}: closing all connections",
    "node.stopped": lambda e: "node stopped",
    "dial.started": lambda e: f"dialling {e.get('target')}",
    "dial.connected": lambda e: f"reached {e.get('target')}{_via(e)}{_elapsed(e, 'in')}",
    "dial.failed": _failed,
    "dial.crashed": lambda e: f"bug: the dial to {e.get('target')} crashed: {e.get('error')}",
    "peer.connected": _connected,
    "peer.refused": _refused,
    "peer.disconnected": lambda e: f"peer {e.get('peer')} disconnected: {e.get('reason')}",
    "flow.failed": lambda e: f"bug: a flow of peer {e.get('peer')} crashed: {e.get('error')}",
    "error.unhandled": _unhandled,
    "addresses.loaded": lambda e: f"loaded {e.get('count')} known addresses",
    "addresses.stored": lambda e: f"stored {e.get('count')} new addresses, {e.get('total')} in total",
    "addresses.not_stored": lambda e: f"could not store addresses, will retry: {e.get('error')}",
    "addresses.set_aside": lambda e: (
        f"the address book {e.get('path')} is damaged ({e.get('error')}); "
        f"moved it to {e.get('moved_to')} and started a new one"
    ),
    "addresses.lost": lambda e: f"the address book {e.get('path')} was deleted or replaced; writing it anew",
    "bans.loaded": lambda e: f"loaded {e.get('count')} bans",
    "ban.added": lambda e: f"banned {e.get('what')} {f'until {until}' if (until := e.get('until')) else 'forever'}",
    "ban.lifted": lambda e: f"unbanned {e.get('what')}",
    "bans.not_stored": lambda e: f"could not store the bans: {e.get('error')}",
    "bans.set_aside": lambda e: (
        f"the file of the bans {e.get('path')} is damaged ({e.get('error')}); "
        f"moved it to {e.get('moved_to')}, and nothing of it is banned"
    ),
    "metrics.lost": lambda e: f"a dial was not counted: {e.get('error')}",
    "traces.lost": lambda e: f"a dial was not traced: {e.get('error')}",
    "keepalive.skipped": lambda e: f"no TCP keepalive: {e.get('reason')}",
    "log.dropped": lambda e: f"{e.get('count')} lines are missing here: they came faster than they could be written",
    "log.reopened": lambda e: f"opened the log file {e.get('path')} again",
    "log.not_reopened": lambda e: f"could not open the log file {e.get('path')} again: {e.get('error')}",
    "library.logged": lambda e: f"{e.get('logger')}: {e.get('message')}",
    "network.unreachable": lambda e: f"no route to {e.get('network')}: {e.get('error')}",
    "network.reachable": lambda e: f"{e.get('network')} is reachable again{_elapsed(e, 'after')}",
    "proxy.down": lambda e: f"proxy {e.get('via')} is down: {e.get('error')}",
    "proxy.up": lambda e: f"proxy {e.get('via')} is up again{_elapsed(e, 'after')}",
    "listener.paused": lambda e: f"cannot accept connections on {e.get('listen')}, will retry: {e.get('error')}",
    "listener.resumed": lambda e: f"accepts connections on {e.get('listen')} again{_elapsed(e, 'after')}",
    "tor.bootstrap": lambda e: f"Tor starts: {e.get('progress')}%, {e.get('summary')}{_error(e)}",
    "tor.up": lambda e: f"Tor {e.get('version')} is ready{_via(e)}{_elapsed(e, 'after')}",
    "tor.down": lambda e: f"Tor cannot be used (control port {e.get('control')}): {e.get('error')}",
    "onion.publishing": lambda e: f"publishing {e.get('onion') or 'the onion service'}, not reachable yet{_error(e)}",
    "onion.published": lambda e: f"reachable as {e.get('onion')}{_elapsed(e, 'after')}",
    "onion.withdrawn": lambda e: f"no longer reachable as {e.get('onion')}: {e.get('reason')}",
    "outbound.missing": lambda e: f"{e.get('count')} of {e.get('target')} outbound peers missing",
    "forward.opened": lambda e: f"forwarding {e.get('client')} to {e.get('target')}{_via(e)}{_elapsed(e, 'after')}",
    "forward.closed": _forwarded,
    "seeder.answered": lambda e: f"seeder {e.get('seeder')} returned {e.get('count')} addresses",
    "seeder.by_name": lambda e: f"dialling seeder {e.get('seeder')} by name: {e.get('via')} cannot resolve it",
    "seeder.failed": lambda e: f"seeder {e.get('seeder')} failed: {e.get('error')}",
    "advertised.changed": lambda e: (
        f"the address that peers are told is now {e.get('advertised') or 'none'}, it was {e.get('previous') or 'none'}"
    ),
    "interfaces.unreadable": lambda e: f"cannot read this machine's addresses, to advertise one: {e.get('error')}",
    "externalip.ignored": lambda e: f"--externalip {e.get('address')} is not advertised: {e.get('reason')}",
    "settings.ignored": lambda e: f"ignored kaspad settings that have no effect here: {_names(e)}",
    "settings.ineffective": lambda e: str(e.get("reason")),
    "environment.ignored": lambda e: f"ignored {_names(e)}: set a proxy with --socks5-proxy",
}
"""The sentence of each event that the node writes. Other events are shown as keys and values."""


def sentence(event: Fields) -> str:
    """Describe an event in one line; control characters in a peer's text are escaped."""
    make = SENTENCES.get(str(event.get("event")))
    if make is not None:
        return fold(make(event))
    return fold(
        " ".join(f"{key}={value}" for key, value in event.items() if key not in OMITTED_KEYS and value is not None)
    )


class ConsoleRenderer:
    """structlog's last processor: renders the time, the sentence and the event's name.

    Args:
        paint: colours text.
        moving: whether a step of Tor's start replaces the line of the step before, which only a terminal can do.
    """

    def __init__(self, paint: Paint, *, moving: bool = False) -> None:
        self._paint = paint
        self._moving = moving
        self._replaceable = False

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> str:
        exception = event.pop("exception", None)
        colour = COLOURS.get(str(event.get("level")))
        text = sentence(event)
        shown = text if colour is None else self._paint(colour, text)
        name = self._paint("dim", f"[{event['event']}]")
        # To the second: the fraction is for programs, which read JSON.
        time = FRACTION.sub("", str(event.get("timestamp")))
        line = f"{self._paint('dim', time)} {shown} {name}"
        step = event["event"] == "tor.bootstrap" and event.get("level") == "info"
        if step and self._replaceable:
            line = f"{LINE_ABOVE}{line}"
        self._replaceable = step and self._moving
        return line if exception is None else f"{line}\n{exception}"
