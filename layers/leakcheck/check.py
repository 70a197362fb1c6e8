"""Run a program where only the proxy answers, and report what went elsewhere."""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from ziggurat.layers.leakcheck.judge import Judge
from ziggurat.layers.leakcheck.namespace import NamespaceError
from ziggurat.layers.leakcheck.outside import Inside
from ziggurat.layers.leakcheck.packets import Packet
from ziggurat.layers.leakcheck.place import ProxyPlace
from ziggurat.layers.leakcheck.processes import UNKNOWN, Processes
from ziggurat.layers.leakcheck.recorder import Recorder
from ziggurat.layers.leakcheck.relay import Relay
from ziggurat.layers.leakcheck.report import LeakReport, ProxyUse
from ziggurat.layers.leakcheck.resolvers import FakeResolver, present_resolvers

__all__ = ["leakcheck"]

TOR = "127.0.0.1:9050"

GRACE = 10.0
"""Seconds between SIGTERM and SIGKILL."""

LEAVING = 0.5
"""Seconds for children to end after the command. What runs longer is in the background, and what it does there would be
seen no more."""

RESOLV_CONF = "nameserver 10.254.254.53\noptions timeout:1 attempts:1\n"
"""A name server that nobody has: each question to it is a look-up past the proxy."""


def leakcheck(
    command: Sequence[str],
    *,
    proxies: Iterable[str] = (TOR,),
    expose: Iterable[int] = (),
    seconds: float | None = None,
) -> LeakReport:
    """Run a program in a network namespace where nothing answers but the proxy, and report what went elsewhere.

    It blocks until the program has ended; `KeyboardInterrupt` ends it early. The program's stdout becomes our stderr.
    Whatever it leaves running is killed.

    Args:
        command: the program and its arguments.
        proxies: the addresses that answer, as ``HOST:PORT``, ``[IPv6]:PORT`` or ``unix:/PATH``: the same places as
            outside. They need not be proxies.
        expose: ports that the program listens on, and that this machine's 127.0.0.1 is to reach.
        seconds: when to end the program by SIGTERM, and 10 seconds later by SIGKILL; ``None`` for never.

    Raises:
        NamespaceError: this machine does not allow it; the message says what is needed.
        CommandError: the command cannot be run; the message says why.
        OSError: a proxy's name cannot be resolved, or a port to expose is in use.
        ValueError: an argument is wrong.
    """
    if not command:
        raise ValueError("there is no command to run")
    if sys.platform != "linux":
        raise NamespaceError("it needs the network namespaces of Linux")
    places = [ProxyPlace.parse(proxy) for proxy in proxies]
    with ExitStack() as stack:
        return _Check(stack, places, tuple(expose)).run(list(command), seconds)


class _Check:
    def __init__(self, stack: ExitStack, places: Sequence[ProxyPlace], expose: tuple[int, ...]) -> None:
        self._stack = stack
        self._places = places
        self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ziggurat-leakcheck-")))
        self._folder.chmod(0o755)
        self._exposed = [_listener(stack, port) for port in expose]
        self._inside = stack.enter_context(Inside())
        self._processes: Processes | None = None
        self._relays: dict[str, list[Relay]] = {place.text: [] for place in places}
        self._began = time.monotonic()
        ends = [place.shown(address) for place in places for address in place.addresses]
        self._judge = Judge(ends, expose, lambda: time.monotonic() - self._began, self._owner)

    def run(self, argv: list[str], seconds: float | None) -> LeakReport:
        """Run the command to its end."""
        targets = [(place, address) for place in self._places for address in place.addresses]
        sink, loopback, listeners = self._inside.prepare(
            [(str(address), place.port) for place, address in targets],
            [str(address) for _, address in targets if not address.is_loopback],
            self._mounts(),
        )
        self._processes = Processes(self._inside.pid)
        for (place, address), listener in zip(targets, listeners, strict=True):
            self._add_relay(place, Relay(listener, partial(place.connect, address), mirror=True))
        recorder = Recorder(sink, loopback, self._judge.from_sink, self._judge.on_loopback)
        pid = self._inside.run(argv)
        self._processes.name(pid)  # it may be gone when it is asked for
        self._began = time.monotonic()
        for listener in self._exposed:
            relay = Relay(listener, partial(self._connect_inside, int(listener.getsockname()[1])), mirror=False)
            self._stack.callback(relay.close)
        code, stopped = self._wait(pid, seconds)
        elapsed = time.monotonic() - self._began
        left = tuple(map(self._processes.name, [] if stopped else self._left_behind()))
        for survivor in self._processes.pids():
            _kill(os.kill, survivor, signal.SIGKILL)
        lost = recorder.finish()
        for relay in (relay for relays in self._relays.values() for relay in relays):
            relay.settle()
        return LeakReport(
            self._judge.findings(), tuple(map(self._use, self._places)), code, stopped, elapsed, lost, left
        )

    def _mounts(self) -> list[tuple[str, str]]:
        """Make the files that replace those of the system, and the sockets."""
        mounts = [(self._file("resolv.conf", RESOLV_CONF), "/etc/resolv.conf")]
        named = [(address, place.name) for place in self._places if place.name for address in place.addresses]
        if named:
            hosts = Path("/etc/hosts").read_text(errors="surrogateescape")
            lines = "".join(f"{address} {name}\n" for address, name in named)
            mounts.append((self._file("hosts", f"{hosts.rstrip()}\n{lines}"), "/etc/hosts"))
        for number, path in enumerate(present_resolvers()):
            own = str(self._folder / f"resolver{number}")
            self._stack.callback(FakeResolver(own, path, self._looked_up).close)
            mounts.append((own, path))
        for number, place in enumerate(self._places):
            if place.path is not None and os.path.exists(place.path):
                own = str(self._folder / f"proxy{number}")
                listener = socket.socket(socket.AF_UNIX)
                listener.bind(own)
                os.chmod(own, 0o666)
                self._add_relay(place, Relay(listener, partial(place.connect, None), mirror=True))
                mounts.append((own, place.path))
        return mounts

    def _file(self, name: str, text: str) -> str:
        path = self._folder / name
        path.write_text(text, errors="surrogateescape")
        path.chmod(0o644)
        return str(path)

    def _add_relay(self, place: ProxyPlace, relay: Relay) -> None:
        self._relays[place.text].append(relay)
        self._stack.callback(relay.close)

    def _connect_inside(self, port: int) -> socket.socket:
        connected = self._inside.socket(socket.AF_INET)
        try:
            connected.connect(("127.0.0.1", port))
        except OSError:
            connected.close()
            raise
        return connected

    def _wait(self, pid: int, seconds: float | None) -> tuple[int, bool]:
        try:
            code = self._inside.wait(seconds)
        except KeyboardInterrupt:
            code = None
        if code is not None:
            return code, False
        _kill(os.killpg, pid, signal.SIGTERM)
        code = self._inside.wait(GRACE)
        while code is None:
            _kill(os.killpg, pid, signal.SIGKILL)
            code = self._inside.wait(GRACE)
        return code, True

    def _left_behind(self) -> list[int]:
        """Return the processes that go on after the command: not those that are just ending, too."""
        assert self._processes is not None
        deadline = time.monotonic() + LEAVING
        while (pids := self._processes.pids()) and time.monotonic() < deadline:
            time.sleep(0.02)
        return pids

    def _owner(self, packet: Packet) -> str:
        return UNKNOWN if self._processes is None else self._processes.of(packet)

    def _looked_up(self, pid: int, resolver: str, name: str | None) -> None:
        self._judge.look_up(UNKNOWN if self._processes is None else self._processes.name(pid), resolver, name)

    def _use(self, place: ProxyPlace) -> ProxyUse:
        connections = sum(relay.connections for relay in self._relays[place.text])
        tried = sum(self._judge.tried[place.shown(address)] for address in place.addresses)
        return ProxyUse(place.text, max(tried, connections), connections)


def _listener(stack: ExitStack, port: int) -> socket.socket:
    listener = stack.enter_context(socket.socket())
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    return listener


def _kill(kill: Callable[[int, int], None], pid: int, number: signal.Signals) -> None:
    try:
        kill(pid, number)
    except ProcessLookupError:
        pass
