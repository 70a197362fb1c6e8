"""Lookups in threads of our own: given up at once, never waited for, and bounded."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from ziggurat.services import ConnectRefused, ResolveError, SystemResolver
from ziggurat.services.resolver import MAX_LOOKUPS, ask, look_up

pytestmark = pytest.mark.real_io


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Names that end with ``silent`` are looked up until the event is set."""
    answered = threading.Event()
    real = socket.getaddrinfo
    waiting: list[threading.Thread] = []

    def lookup(host: Any, *args: Any, **kwargs: Any) -> Any:
        if str(host).endswith("silent"):
            waiting.append(threading.current_thread())
            answered.wait(30)
            return []
        return real(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    yield answered
    answered.set()
    for thread in waiting:
        thread.join(30)


@pytest.mark.parametrize("name", ["abc.onion", "ABC.Onion.", "onion", "a.b.onion.."])
async def test_an_onion_name_never_reaches_the_system(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: pytest.fail("the system was asked"))

    with pytest.raises(ResolveError, match=r"onion services have no address.*Tor's SOCKS5 port") as caught:
        await look_up(name)

    assert not caught.value.transient


async def test_a_name_has_its_addresses_each_once() -> None:
    found = await look_up("localhost")

    assert "127.0.0.1" in found
    assert len(found) == len(set(found))
    assert await look_up("localhost", family=socket.AF_INET) == ["127.0.0.1"]


async def test_an_unknown_name_is_an_error_that_stays(silent: threading.Event) -> None:
    with pytest.raises(ResolveError, match="check the name"):
        await look_up("x" * 70 + ".invalid")


async def test_names_behind_silent_servers_do_not_hold_up_others(silent: threading.Event) -> None:
    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(look_up, f"{number}.silent")
        await anyio.lowlevel.checkpoint()
        with anyio.fail_after(10):
            assert await look_up("localhost")
        tasks.cancel_scope.cancel()


async def test_beyond_the_limit_a_lookup_fails_at_once_and_is_transient(silent: threading.Event) -> None:
    async with anyio.create_task_group() as tasks:
        for number in range(MAX_LOOKUPS):
            tasks.start_soon(look_up, f"{number}.silent")
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(ResolveError, match=f"{MAX_LOOKUPS} lookups are under way") as caught:
            await look_up("localhost")
        assert caught.value.transient
        tasks.cancel_scope.cancel()
    silent.set()
    with anyio.fail_after(10):
        while True:  # the places come back as the threads end
            try:
                assert await look_up("localhost")
                break
            except ResolveError:
                await anyio.sleep(0.01)


PROGRAM = """
import socket, sys, time
import anyio
def lookup(*args, **kwargs): time.sleep(60)
socket.getaddrinfo = lookup
from ziggurat.services import ConnectTimeout, TcpConnector, Uri
async def main():
    try:
        await TcpConnector(dns_timeout=0.1)(Uri.parse("http://dead.example"))
    except ConnectTimeout as error:
        print(error.phase, error.name)
anyio.run(main, backend=sys.argv[1])
"""


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_program_ends_although_a_lookup_does_not(backend: str) -> None:
    """electrum#4836, python/cpython#112169: the end of the loop waited for the resolver."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, backend], capture_output=True, text=True, timeout=30)

    assert (done.returncode, done.stdout) == (0, "dns dns_timeout\n"), done.stderr


async def test_the_systems_resolver_is_one_of_several() -> None:
    assert "127.0.0.1" in await ask(SystemResolver(), "localhost")


def raising(error: Exception) -> Any:
    async def resolver(host: str) -> list[str]:
        raise error

    return resolver


@pytest.mark.parametrize(
    ("error", "transient", "text"),
    [
        (RuntimeError("two\nlines"), True, "a.example: the resolver raised RuntimeError: two lines"),
        (OSError(111, "x"), True, "a.example: the resolver raised ConnectionRefusedError: connection refused"),
        (socket.gaierror(socket.EAI_NONAME, "unknown"), False, "gaierror"),
        (socket.gaierror(socket.EAI_AGAIN, "again"), True, "gaierror"),
    ],
)
async def test_what_a_resolver_raises_is_a_resolve_error(error: Exception, transient: bool, text: str) -> None:
    with pytest.raises(ResolveError) as caught:
        await ask(raising(error), "a.example")

    assert text in caught.value.message
    assert (caught.value.transient, caught.value.__cause__) == (transient, error)


async def test_a_connect_error_of_a_resolver_is_its_word() -> None:
    error = ConnectRefused("refused")
    with pytest.raises(ConnectRefused) as caught:
        await ask(raising(error), "a.example")
    assert caught.value is error


@pytest.mark.parametrize(
    ("found", "text"),
    [
        ([], "a.example: no address"),
        (["192.0.2.1", "b.example"], "a.example: the resolver returned 'b.example', no address"),
        ([None], "a.example: the resolver returned None, no address"),
        (None, "a.example: the resolver raised TypeError"),
        (7, "a.example: the resolver raised TypeError"),
    ],
)
async def test_what_a_resolver_returns_is_checked(found: Any, text: str) -> None:
    async def resolver(host: str) -> Any:
        return found

    with pytest.raises(ResolveError, match=text):
        await ask(resolver, "a.example")
