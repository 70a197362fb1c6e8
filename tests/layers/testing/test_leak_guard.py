"""Under the guard every way out raises, save the allowed ones; what was caught inside is raised at the end."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable

import anyio
import pytest

from ziggurat.layers import Socks5Layer
from ziggurat.layers.testing import ScriptedProxy, no_leaks
from ziggurat.services import LeakError, SocketConnector, TcpConnector, Uri

ELSEWHERE = ("192.0.2.77", 80)


def connect(address: object, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM) -> None:
    with socket.socket(family, kind) as endpoint:
        endpoint.setblocking(False)
        try:
            endpoint.connect(address)  # type: ignore[arg-type]
        except OSError:
            pass


def send_to(address: tuple[str, int]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as endpoint:
        endpoint.sendto(b"", address)


def send_message(address: tuple[str, int]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as endpoint:
        endpoint.sendmsg([b""], [], 0, address)


def spawn() -> multiprocessing.process.BaseProcess:
    return multiprocessing.get_context("spawn").Process(target=print)


LEAKS: list[tuple[str, str, Callable[[], object]]] = [
    ("connection", "192.0.2.77:80", lambda: connect(ELSEWHERE)),
    ("connection", "[2001:db8::5]:80", lambda: connect(("2001:db8::5", 80), socket.AF_INET6)),
    ("connection", "[::ffff:192.0.2.77]:80", lambda: connect(("::ffff:192.0.2.77", 80), socket.AF_INET6)),
    ("connection", "127.0.0.1:9", lambda: connect(("127.0.0.1", 9))),
    ("connection", "/run/elsewhere.sock", lambda: connect("/run/elsewhere.sock", socket.AF_UNIX)),
    ("datagram", "192.0.2.77:80", lambda: send_to(ELSEWHERE)),
    ("message", "192.0.2.77:80", lambda: send_message(ELSEWHERE)),
    ("look-up", "target.invalid", lambda: socket.getaddrinfo("target.invalid", 80)),
    ("look-up", "target.invalid", lambda: socket.getaddrinfo(b"target.invalid", 80)),
    ("look-up", "target.invalid", lambda: socket.gethostbyname("target.invalid")),
    ("look-up", "192.0.2.77", lambda: socket.gethostbyaddr("192.0.2.77")),
    ("look-up", "192.0.2.77", lambda: socket.getnameinfo(ELSEWHERE, 0)),
    ("process", sys.executable, lambda: subprocess.run([sys.executable, "-V"], check=True)),
    ("process", "true", lambda: os.system("true")),
    ("process", sys.executable, lambda: spawn().start()),  # python/cpython#115322
    ("process", "os.fork", lambda: os.fork() or os._exit(0)),
]


@pytest.mark.parametrize(("kind", "place", "leak"), LEAKS, ids=[f"{kind} {place}" for kind, place, _ in LEAKS])
def test_a_way_out_raises_where_it_is_taken_and_again_at_the_end(
    kind: str, place: str, leak: Callable[[], object]
) -> None:
    guard = no_leaks(["127.0.0.1:1080"])
    guard.__enter__()
    with pytest.raises(LeakError) as caught:
        leak()
    with pytest.raises(LeakError) as at_the_end:
        guard.__exit__(None, None, None)

    assert guard.leaks == [caught.value]
    assert kind in str(caught.value)
    assert caught.value.address == at_the_end.value.address == place
    assert caught.value.line.startswith(__file__)
    assert caught.value.line in str(caught.value)


def test_a_leak_that_nobody_catches_is_raised_as_it_is() -> None:
    with pytest.raises(LeakError) as caught, no_leaks() as guard:
        connect(ELSEWHERE)

    assert guard.leaks == [caught.value]


def test_the_end_says_how_many_there_were_and_what_else_went_wrong() -> None:
    def leak_twice_and_fail() -> None:
        for _ in range(2):
            with pytest.raises(LeakError):
                connect(ELSEWHERE)
        raise KeyError("else")

    with pytest.raises(LeakError, match=r"and 1 more") as caught, no_leaks():
        leak_twice_and_fail()

    assert isinstance(caught.value.__cause__, KeyError)


def test_what_is_allowed_passes() -> None:
    with no_leaks(["127.0.0.1:9", "unix:/run/proxy.sock"]) as guard:
        connect(("127.0.0.1", 9))
        connect("/run/proxy.sock", socket.AF_UNIX)

    assert guard.leaks == []


def test_after_the_block_nothing_is_refused() -> None:
    with no_leaks() as guard:
        pass
    connect(("127.0.0.1", 9))

    assert guard.leaks == []


def test_guards_nest_and_each_must_allow() -> None:
    with no_leaks(["127.0.0.1"]) as outer, pytest.raises(LeakError), no_leaks(["127.0.0.1:1"]):
        connect(("127.0.0.1", 9))

    assert outer.leaks == []


def test_it_sees_every_thread() -> None:
    seen: list[BaseException] = []

    def leak() -> None:
        try:
            socket.getaddrinfo("target.invalid", 80)
        except LeakError as error:
            seen.append(error)

    def run() -> None:
        thread = threading.Thread(target=leak)
        thread.start()
        thread.join()

    with pytest.raises(LeakError, match=r"target\.invalid"), no_leaks() as guard:
        run()

    assert guard.leaks == seen


def test_an_address_is_no_look_up_and_listening_is_no_leak() -> None:
    with no_leaks() as guard:
        assert socket.getaddrinfo("192.0.2.77", 80, type=socket.SOCK_STREAM)
        assert socket.getaddrinfo(None, 80, flags=socket.AI_PASSIVE)
        assert socket.getaddrinfo("localhost", 80)
        with socket.create_server(("127.0.0.1", 0)):
            pass

    assert guard.leaks == []


def test_a_datagram_on_a_connected_socket_goes_where_that_leads() -> None:
    with no_leaks(["127.0.0.1:9"]) as guard, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as endpoint:
        endpoint.connect(("127.0.0.1", 9))
        assert endpoint.sendmsg([b""]) == 0

    assert guard.leaks == []


def test_a_subprocess_may_be_allowed() -> None:
    with no_leaks(subprocess=True) as guard:
        assert subprocess.run([sys.executable, "-c", ""], check=True).returncode == 0

    assert guard.leaks == []


def test_more_may_be_allowed_on_the_way() -> None:
    with no_leaks() as guard:
        guard.allow("localhost:9", "unix:*")
        connect(("127.0.0.1", 9))
        connect("/run/any.sock", socket.AF_UNIX)

    assert guard.leaks == []


def test_subprocess_is_a_bool() -> None:
    with pytest.raises(TypeError, match="subprocess must be True or False"):
        no_leaks([], subprocess=1)  # type: ignore[arg-type]


@pytest.mark.real_io
async def test_our_own_stack_raises_through_all_its_layers() -> None:
    with pytest.raises(LeakError, match=r"look-up of target\.invalid"), no_leaks():
        await TcpConnector()(Uri("http", "target.invalid", 80))

    with pytest.raises(LeakError, match=r"192\.0\.2\.77:80"), no_leaks():
        await TcpConnector()(Uri("http", "192.0.2.77", 80))


@pytest.mark.real_io
async def test_through_a_proxy_nothing_leaks() -> None:
    async with ScriptedProxy().serve() as proxy:
        with no_leaks([proxy]) as guard:
            stream = await Socks5Layer(proxy).layer(SocketConnector())(Uri("http", "target.invalid", 80))
            await stream.aclose()

    assert guard.leaks == []


@pytest.mark.real_io
async def test_other_libraries_on_the_event_loop_are_seen(anyio_backend_name: str) -> None:
    connecting = asyncio.open_connection if anyio_backend_name == "asyncio" else anyio.connect_tcp
    with pytest.raises(LeakError), no_leaks():
        await connecting("192.0.2.77", 80)
