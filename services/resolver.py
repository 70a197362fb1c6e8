"""What looks names up, and the system's resolver, in daemon threads of our own.

``getaddrinfo`` blocks for as long as a name server is silent, usually 30 seconds, and cannot be cancelled. In an event
loop's own pool of threads such a lookup takes one of a few places, so that a handful of dead names holds up every other
name, and the end of the loop waits for it. Here an abandoned lookup costs one thread until the system gives up as well;
nothing waits for that thread, not even the end of the program.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Protocol

import anyio
import sniffio

from ziggurat.services.errors import ConnectError, ResolveError
from ziggurat.services.onion import is_onion
from ziggurat.services.system_error import reason

__all__ = ["MAX_LOOKUPS", "Resolver", "SystemResolver", "ask", "look_up", "refuse_onion"]

MAX_LOOKUPS = 64
"""Lookups under way at once in this process, those that were given up included. Each is a thread."""

TEMPORARY_FAILURES = frozenset({socket.EAI_AGAIN})
"""Temporary failures of the resolver; any other answer will be the same next time."""


class Resolver(Protocol):
    """Any async function from a name to its IP addresses, the best ones first; for ``TcpConnector(resolver=)``.

    A name without an address is a `ResolveError`, whose ``transient`` says whether it may have one later. Any other
    exception becomes one.
    """

    async def __call__(self, host: str, /) -> Sequence[str]:
        """Return the addresses of ``host``, which is a name in ASCII and never an address."""
        ...


@dataclass(frozen=True, slots=True)
class SystemResolver:
    """The `Resolver` that asks the system, as a `TcpConnector` without another one does."""

    async def __call__(self, host: str, /) -> list[str]:
        """Return the addresses of a name; see `look_up` for the errors."""
        return await look_up(host)


async def ask(resolver: Resolver, host: str) -> list[str]:
    """Return the addresses of a name by a resolver of the user's, each once.

    Raises:
        ConnectError: what the resolver raises, if it is one.
        ResolveError: there is no address, the resolver raised something else, or returned what is no address.
    """
    try:
        found = list(dict.fromkeys(await resolver(host)))
    except ConnectError:
        raise
    except Exception as error:
        again = not isinstance(error, socket.gaierror) or error.errno in TEMPORARY_FAILURES
        text = f"{host}: the resolver raised {type(error).__name__}: {reason(error)}"
        raise ResolveError(text, transient=again) from error
    if not found:
        raise ResolveError(f"{host}: no address", hint="check the name", transient=False)
    for address in found:
        try:
            ip_address(address)
        except ValueError as error:
            raise ResolveError(f"{host}: the resolver returned {address!r}, no address", transient=False) from error
    return found


def refuse_onion(host: str) -> None:
    """Refuse a name under ``.onion``, of which no name server should learn (RFC 7686 2).

    Raises:
        ResolveError: it is one. Not transient.
    """
    if is_onion(host):
        hint = "an onion service is reached through Tor's SOCKS5 port, usually 127.0.0.1:9050"
        raise ResolveError(f"{host}: onion services have no address", hint=hint, transient=False)


_places = threading.BoundedSemaphore(MAX_LOOKUPS)


async def look_up(host: str, *, family: int = socket.AF_UNSPEC) -> list[str]:
    """Return the IP addresses of a name, in the system's order (RFC 6724) and each once.

    Args:
        host: the name.
        family: ``socket.AF_INET`` or ``AF_INET6`` for addresses of one family only.

    Raises:
        ResolveError: there is none, or the resolver could not tell (then it is transient); or `MAX_LOOKUPS` lookups are
            under way already (transient, at once). A name under ``.onion`` has none, and the system is not asked: its
            name servers would learn of it (RFC 7686 section 2).
    """
    refuse_onion(host)
    if not _places.acquire(blocking=False):
        hint = "the name servers of this machine do not answer"
        raise ResolveError(f"{host}: {MAX_LOOKUPS} lookups are under way already", hint=hint, transient=True)
    lookup = _Lookup(host, family)
    try:
        threading.Thread(target=lookup.run, name=f"look up {host:.40}", daemon=True).start()
    except RuntimeError as error:  # no more threads
        _places.release()
        raise ResolveError(f"{host}: {error}", transient=True) from error
    await lookup.done.wait()
    return lookup.addresses()


class _Lookup:
    """One lookup: `run` is the thread's part, the rest belongs to the event loop."""

    def __init__(self, host: str, family: int) -> None:
        self.done = anyio.Event()
        self._host = host
        self._family = family
        self._notify = _notifier()
        self._found: list[str] | Exception = []

    def run(self) -> None:
        try:
            rows = socket.getaddrinfo(self._host, None, self._family, socket.SOCK_STREAM)
            self._found = list(dict.fromkeys(_text(address) for *_, address in rows))
        except Exception as error:
            self._found = error
        finally:
            _places.release()
        try:
            self._notify(self.done.set)
        except RuntimeError:
            pass  # the loop has ended, and with it the wait

    def addresses(self) -> list[str]:
        found, host = self._found, self._host
        if isinstance(found, socket.gaierror):
            again = found.errno in TEMPORARY_FAILURES
            hint = "the resolver could not be reached" if again else "check the name"
            raise ResolveError(f"{host}: {found.strerror}", hint=hint, transient=again) from found
        if isinstance(found, Exception):  # a UnicodeError for a label of more than 63 bytes
            raise ResolveError(f"{host}: {found}", hint="check the name", transient=False) from found
        if not found:
            raise ResolveError(f"{host}: no address", hint="check the name", transient=False)
        return found


def _text(address: tuple[Any, ...]) -> str:
    """The IP address of a row, with its scope (RFC 4007) where it has one: the system gives that as a number."""
    ip, scope = str(address[0]), address[3] if len(address) == 4 else 0
    return f"{ip}%{scope}" if scope and "%" not in ip else ip


def _notifier() -> Callable[[Callable[[], object]], object]:
    """Return what calls a function on the running event loop, from any thread and without waiting."""
    if sniffio.current_async_library() == "asyncio":
        return asyncio.get_running_loop().call_soon_threadsafe
    from trio.lowlevel import current_trio_token  # here: only where trio runs

    return current_trio_token().run_sync_soon
