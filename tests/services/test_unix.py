"""The unix leaf over real sockets in a directory of the test."""

from __future__ import annotations

import errno
import os
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import anyio
import pytest
import sniffio
from anyio.abc import SocketAttribute
from anyio.lowlevel import checkpoint

from ziggurat.services import (
    ConnectError,
    ConnectRefused,
    ConnectTimeout,
    DialAttribute,
    TransportStream,
    UnixConnector,
    Uri,
    WrappedStream,
    dial,
)

pytestmark = pytest.mark.real_io


@contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(30)
        yield listener


def uri_of(path: Path) -> Uri:
    return Uri("unix", path=str(path))


async def test_it_connects_and_counts_bytes(tmp_path: Path) -> None:
    path = tmp_path / "with a space"
    with listening(path) as listener:
        stream = await UnixConnector()(uri_of(path))
        far, _ = listener.accept()
        with far:
            await stream.send(b"ping")
            assert far.recv(4) == b"ping"
            far.sendall(b"pong")
            assert await stream.receive() == b"pong"
        await stream.aclose()

    assert isinstance(stream, TransportStream | WrappedStream)
    assert isinstance(stream, TransportStream) == (sniffio.current_async_library() == "asyncio")
    assert (stream.bytes_sent, stream.bytes_received) == (4, 4)
    ledger = stream.extra(DialAttribute.ledger)
    assert [(p.name, p.outcome, p.via) for p in ledger.phases] == [("unix", "ok", None)]


async def test_a_socket_without_a_listener_is_refused(tmp_path: Path) -> None:
    with listening(tmp_path / "s"):
        pass
    with pytest.raises(ConnectRefused) as caught:
        await UnixConnector()(uri_of(tmp_path / "s"))

    assert (caught.value.phase, caught.value.transient) == ("unix", True)
    assert f"connection refused ({tmp_path}/s)" in str(caught.value)


async def test_a_missing_socket_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ConnectError, match=re.escape(f"no such file or directory ({tmp_path}/none)")) as caught:
        await UnixConnector()(uri_of(tmp_path / "none"))

    assert caught.value.phase == "unix"
    assert not isinstance(caught.value, ConnectRefused)


async def test_a_path_that_is_too_long_fails_the_unix_phase() -> None:
    with pytest.raises(ConnectError, match="too long") as caught:
        await UnixConnector()(Uri("unix", path="/" + "a" * 200))

    assert caught.value.phase == "unix"


async def test_a_full_backlog_is_not_taken_for_a_connection(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener, ExitStack() as fillers:
        listener.bind(path)
        listener.listen(0)
        full = False
        while not full:
            filler = fillers.enter_context(socket.socket(socket.AF_UNIX))
            filler.setblocking(False)
            full = filler.connect_ex(path) == errno.EAGAIN
        with pytest.raises(ConnectError, match=re.escape(f"({path})")) as caught:
            await UnixConnector()(Uri("unix", path=path))

    assert (caught.value.phase, caught.value.transient) == ("unix", True)


async def test_a_timeout_is_enforced_and_named(tmp_path: Path) -> None:
    with listening(tmp_path / "s"), pytest.raises(ConnectTimeout) as caught:
        await UnixConnector(timeout=1e-9)(uri_of(tmp_path / "s"))

    assert (caught.value.phase, caught.value.limit) == ("unix", 1e-9)


async def test_within_a_dial_to_another_target_via_names_the_socket(tmp_path: Path) -> None:
    with listening(tmp_path / "s"), dial(Uri("http", "target", 80)) as current:
        stream = await UnixConnector()(uri_of(tmp_path / "s"))
        await stream.aclose()

    assert [p.via for p in current.ledger.phases] == [f"unix:{tmp_path}/s"]


async def test_a_cancellation_at_any_await_leaves_nothing_open(tmp_path: Path) -> None:
    answered = []

    async def work() -> None:
        answered.append(await UnixConnector()(uri_of(tmp_path / "s")))

    with listening(tmp_path / "s") as listener:
        for steps in range(12):
            async with anyio.create_task_group() as group:
                group.start_soon(work)
                for _ in range(steps):
                    await checkpoint()
                group.cancel_scope.cancel()
            for stream in answered:
                await stream.aclose()
            answered.clear()
        await checkpoint()
        listener.setblocking(False)
        while True:
            try:
                far, _ = listener.accept()
            except BlockingIOError:
                break
            with far:
                far.settimeout(30)
                assert far.recv(1) == b""


async def test_a_tcp_uri_is_refused_with_a_hint() -> None:
    with pytest.raises(ConnectError, match=r"UnixConnector cannot dial http://h:80.*use SocketConnector") as caught:
        await UnixConnector()(Uri("http", "h", 80))

    assert not caught.value.transient


@pytest.mark.parametrize("value", [0, -1.0, float("nan")])
def test_a_timeout_that_is_not_positive_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match=f"^timeout must be a positive number of seconds or None, not {value!r}$"):
        UnixConnector(timeout=value)


linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has abstract names")


@contextmanager
def abstract(name: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0{name}")
        listener.listen()
        listener.settimeout(30)
        yield listener


@linux
@pytest.mark.parametrize("form", ["ziggurat-{}", "{} with a space", "/{}"])
async def test_it_connects_to_an_abstract_name(form: str) -> None:
    name = form.format(os.getpid())
    with abstract(name) as listener:
        stream = await UnixConnector()(Uri.parse(f"unix-abstract:{name}"))
        far, _ = listener.accept()
        with far:
            await stream.send(b"ping")
            assert far.recv(4) == b"ping"
        await stream.aclose()

    assert [(p.name, p.outcome, p.via) for p in stream.extra(DialAttribute.ledger).phases] == [("unix", "ok", None)]


@linux
async def test_the_address_of_an_abstract_name_of_three_letters_is_no_ipv6_address() -> None:
    """The system gives it as four bytes, the NUL before it included, and an IPv6 address is a tuple of four."""
    name = f"{os.getpid() % 1000:03}"
    with abstract(name):
        stream = await UnixConnector()(Uri("unix-abstract", path=name))

        assert stream.extra(SocketAttribute.remote_address) == f"\0{name}".encode()
        await stream.aclose()


@linux
async def test_an_abstract_name_without_a_listener_is_refused() -> None:
    with pytest.raises(ConnectRefused) as caught:
        await UnixConnector()(Uri.parse("unix-abstract:nobody-has-taken-this"))

    assert "(unix-abstract:nobody-has-taken-this)" in str(caught.value)
    assert "\0" not in str(caught.value)


@linux
async def test_an_abstract_name_is_too_long_from_108_bytes_on() -> None:
    with pytest.raises(ConnectRefused):
        await UnixConnector()(Uri("unix-abstract", path="n" * 107))
    with pytest.raises(ConnectError, match="too long") as caught:
        await UnixConnector()(Uri("unix-abstract", path="n" * 108))

    assert not caught.value.transient


async def test_another_system_than_linux_has_no_abstract_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(ConnectError, match="only Linux has abstract unix sockets; use unix: with a path") as caught:
        await UnixConnector()(Uri.parse("unix-abstract:name"))

    assert (caught.value.phase, caught.value.transient) == ("unix", False)
