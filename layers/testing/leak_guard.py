"""A guard that raises where a program looks a name up, or connects, to anywhere but the proxy.

::

    with no_leaks(allow=["127.0.0.1:9050"]):
        ...                                   # a look-up, or a connection to elsewhere, raises LeakError

It is an audit hook (PEP 578), so it sees all of the process: asyncio, trio, threads, and whatever else uses the
``socket`` module. It does not see C code that makes its own system calls, uvloop's and grpcio's among it, nor what
other processes do. ``socket.connect`` with a name instead of an address is seen after the look-up.
"""

from __future__ import annotations

import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterable
from importlib import import_module
from types import TracebackType
from typing import cast

from ziggurat.layers.testing.allowed_places import AllowedPlaces
from ziggurat.services.errors import LeakError, fold
from ziggurat.services.uri import Uri
from ziggurat.services.validation import check_bool

__all__ = ["LeakGuard", "no_leaks"]

CONNECTIONS = {"socket.connect": "connection", "socket.sendto": "datagram", "socket.sendmsg": "message"}
LOOKUPS = {"socket.getaddrinfo", "socket.gethostbyname"}
REVERSE_LOOKUPS = {"socket.gethostbyaddr", "socket.getnameinfo"}
FORK_EXEC = "_posixsubprocess.fork_exec"
"""How multiprocessing starts processes (``spawn``, ``forkserver``). Only a later Python has the event
(python/cpython#115322); until then we raise it, see `_report_fork_exec`."""

PROCESSES = {
    *("subprocess.Popen", "os.system", "os.posix_spawn", "os.exec", "os.fork", "os.forkpty", "os.startfile"),
    *("_winapi.CreateProcess", FORK_EXEC),
}
EVENTS = {*CONNECTIONS, *LOOKUPS, *REVERSE_LOOKUPS, *PROCESSES}

STANDARD_LIBRARY = socket.__file__.rpartition("socket")[0]


class LeakGuard:
    """Guards the process while its ``with`` block runs; made by `no_leaks`.

    Attributes:
        leaks: each leak so far, in order; each was also raised where it happened.
    """

    def __init__(self, places: AllowedPlaces, *, subprocess: bool) -> None:
        self.leaks: list[LeakError] = []
        self._places = places
        self._subprocess = subprocess

    def allow(self, *places: str | Uri) -> None:
        """Allow more places; see `no_leaks`.

        Raises:
            TypeError, ValueError: a place is wrong.
            OSError: a name cannot be resolved.
        """
        with _paused():
            self._places = self._places.with_places(places)

    def __enter__(self) -> LeakGuard:
        _install()
        with _lock:
            _active.append(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _lock:
            _active.remove(self)
        # What was caught inside, or lost with a thread, is raised again.
        if self.leaks and not isinstance(error, LeakError):
            first = self.leaks[0]
            more = f" (and {len(self.leaks) - 1} more)" if len(self.leaks) > 1 else ""
            raise LeakError(f"{first}{more}", first.address, first.line) from error

    def judge(self, event: str, arguments: tuple[object, ...]) -> None:
        """Judge an audit event.

        Raises:
            LeakError: it is a leak.
        """
        place, deed = self._place(event, arguments), CONNECTIONS.get(event)
        if place is None:
            return
        if deed is not None:
            message = f"a {deed} to {place}"
        elif event in PROCESSES:
            message = f"a process was started ({place}), which the guard cannot see into; subprocess=True allows it"
        else:
            message = f"a look-up of {place}"
        line = _line()
        leak = LeakError(f"{message}, at {line}", place, line)
        self.leaks.append(leak)
        raise leak

    def _place(self, event: str, arguments: tuple[object, ...]) -> str | None:
        """Return where the event leads to, if that is not allowed."""
        if event in CONNECTIONS:
            endpoint, address = cast(socket.socket, arguments[0]), arguments[1]
            # Without an address, a datagram goes where the socket is connected to.
            return None if address is None or self._places.address(endpoint.family, address) else _shown(address)
        if event in PROCESSES:
            return None if self._subprocess else _shown(arguments[0]) if arguments else event
        name = arguments[0]
        if isinstance(name, tuple):  # getnameinfo's address
            name = cast("tuple[object, ...]", name)[0]
        text = name.decode("ascii", "replace") if isinstance(name, bytes) else name
        allowed = text is None or self._places.name(str(text), reverse=event in REVERSE_LOOKUPS)
        return None if allowed else fold(str(text))


def no_leaks(allow: Iterable[str | Uri] = (), *, subprocess: bool = False) -> LeakGuard:
    """Return a guard: a context manager under which a look-up, or a connection, to elsewhere raises.

    It holds for the whole process, all threads included. Guards nest; each must allow what is done. To listen is no
    leak, nor is a connection that was opened before. A name among the allowed is resolved now, and its addresses are
    allowed, too.

    Args:
        allow: ``HOST:PORT``, ``[IPv6]:PORT``, ``HOST`` (any port), a network such as ``127.0.0.0/8`` (any port),
            ``unix:/path``, ``unix:*`` (any unix socket), or a `Uri`.
        subprocess: whether the process may fork or start others, which the guard cannot see into.

    Raises:
        LeakError: at the leak itself, and again at the end of the block in case it was caught inside.
        TypeError, ValueError: an argument is wrong.
        OSError: an allowed name cannot be resolved.
    """
    check_bool("subprocess", subprocess)
    return LeakGuard(AllowedPlaces().with_places(allow), subprocess=subprocess)


_active: list[LeakGuard] = []
_lock = threading.Lock()
_installed = False
_thread = threading.local()


def _install() -> None:
    # Once and for good: an audit hook cannot be removed.
    global _installed
    with _lock:
        if not _installed:
            sys.addaudithook(_hook)
            _report_fork_exec()
            _installed = True


def _report_fork_exec() -> None:
    """Let ``_posixsubprocess.fork_exec`` raise an event, for whom looks it up at each call: multiprocessing."""
    try:
        module = import_module("_posixsubprocess")
    except ImportError:  # Windows
        return
    fork_exec: Callable[..., int] = module.fork_exec

    def reported(*arguments: object) -> int:
        sys.audit(FORK_EXEC, arguments[1], arguments[0], arguments[5])  # where to look for it, arguments, environment
        return fork_exec(*arguments)

    setattr(module, "fork_exec", reported)  # noqa: B010  (mypy knows no such attribute)


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if not _active or event not in EVENTS or getattr(_thread, "paused", False):
        return
    for guard in tuple(_active):
        guard.judge(event, arguments)


class _paused:
    """Let this thread resolve the names that it allows."""

    def __enter__(self) -> None:
        _thread.paused = True

    def __exit__(self, *_: object) -> None:
        _thread.paused = False


def _line() -> str:
    """Return the innermost line of the program as ``file:line``: neither the standard library's nor a package's."""
    innermost = None
    for frame, number in traceback.walk_stack(sys._getframe(1)):  # pyright: ignore[reportPrivateUsage]
        path = frame.f_code.co_filename
        if path == __file__ or path.startswith((STANDARD_LIBRARY, "<")):
            continue
        innermost = innermost or f"{path}:{number}"
        if "site-packages" not in path:
            return f"{path}:{number}"
    return innermost or "an unknown line"


def _shown(place: object) -> str:
    if isinstance(place, list):
        place = cast("list[object]", place)[0]
    if isinstance(place, bytes):
        return fold(place.decode("utf-8", "backslashreplace"))
    if not isinstance(place, tuple):
        return fold(str(place))
    host, port = (*cast("tuple[object, ...]", place), "", "")[:2]
    return fold(f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}")
