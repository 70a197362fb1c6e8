"""Run a forwarder until a signal, with a line on stdout for each connection."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import ExitStack

import anyio

from ziggurat.layers.forward import ForwardedConnection, Forwarder, ListenAddress, Socks5Listener
from ziggurat.services.errors import fold

__all__ = ["connection_line", "run_forwarder", "shown_size"]


async def run_forwarder(
    forwarder: Forwarder | Socks5Listener, listen: ListenAddress, say: Callable[[str], None], *, allow_remote: bool
) -> None:
    """Serve until SIGINT or SIGTERM, then let open connections end. A second signal has its default effect.

    Args:
        forwarder: what to run.
        listen: where.
        say: takes lines for the user.
        allow_remote: whether ``listen`` may be reached from other machines.

    Raises:
        OSError: the address cannot be listened on.
        ValueError: other machines can reach it.
    """
    with ExitStack() as receiver:
        # Before anything else, so that a signal during the start leads to an orderly end, too.
        signals = receiver.enter_context(anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM))
        async with forwarder.serve(listen, allow_remote=allow_remote) as address:
            say(f"listening on {address}")
            async for _ in signals:
                break
            receiver.close()  # a second one has its default effect
            if count := forwarder.counters.open:
                these = "1 connection" if count == 1 else f"{count} connections"
                say(f"stopping: {these} may go on for {forwarder.drain:g} s; a second signal ends it at once")
    counters = forwarder.counters
    sizes = f"{shown_size(counters.sent)} up, {shown_size(counters.received)} down"
    say(f"stopped: {counters.accepted} accepted, {counters.opened} opened, {counters.failed} failed, {sizes}")


def connection_line(record: ForwardedConnection) -> str:
    """Describe a connection that has ended, in one line."""
    target = "" if record.target is None else f" > {record.target.authority}"
    via = f" through {record.via}" if record.via else ""
    phase = f"{record.phase} failed: " if record.phase else ""
    story = f"{phase}{record.error}" if record.error else ""
    if record.opened:
        sizes = f"{shown_size(record.sent)} up, {shown_size(record.received)} down"
        story = f"{sizes}, {record.age:.1f} s{f'; {story}' if story else ''}"
    else:
        story = f"{story} after {record.age:.2f} s"
    return fold(f"{record.client}{target}{via}: {story}")


def shown_size(size: int) -> str:
    """Return a number of bytes for people: ``12 B``, ``1.5 kB``, ``230 MB``."""
    value, units = float(size), ["B", "kB", "MB", "GB", "TB"]
    while value >= 999.5 and len(units) > 1:
        value /= 1000
        del units[0]
    return f"{value:.1f} {units[0]}" if units[0] != "B" and value < 9.95 else f"{value:.0f} {units[0]}"
