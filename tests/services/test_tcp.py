"""The TCP leaf over loopback: its phases, its race, and that nothing is left open."""

from __future__ import annotations

import errno
import gc
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import pytest
import sniffio
from anyio.abc import ByteStream, SocketAttribute, SocketStream
from anyio.lowlevel import checkpoint

from ziggurat.services import (
    ConnectError,
    ConnectRefused,
    ConnectTimeout,
    DialAttribute,
    ResolveError,
    StaticHosts,
    TcpConnector,
    TransportStream,
    Uri,
    WrappedStream,
    dial,
)
from ziggurat.services.tcp import _connect_error, _resolve, is_self_connected

pytestmark = pytest.mark.real_io

TARGET = Uri("http", "target.example", 80)
SLOW = 30.0  # seconds; a test that takes so long has failed


@contextmanager
def listening(host: str = "127.0.0.1", port: int = 0, backlog: int = 100) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(backlog)
        listener.settimeout(SLOW)
        yield listener


@contextmanager
def deaf(host: str, port: int = 0) -> Iterator[int]:
    """A listener with a full backlog, so that connecting to it hangs (Linux drops the SYN)."""
    with listening(host, port, backlog=0) as listener:
        fillers: list[socket.socket] = []
        try:
            for _ in range(4):
                fillers.append(socket.socket())
                fillers[-1].setblocking(False)
                fillers[-1].connect_ex(listener.getsockname())
            yield listener.getsockname()[1]
        finally:
            for filler in fillers:
                filler.close()


def unused_port(host: str = "127.0.0.1") -> int:
    with listening(host) as listener:
        port: int = listener.getsockname()[1]
        return port


def uri_of(listener: socket.socket) -> Uri:
    host, port = listener.getsockname()[:2]
    return Uri("http", host, port)


def accept_all(listener: socket.socket) -> list[socket.socket]:
    """Return the clients that have connected so far."""
    listener.setblocking(False)
    accepted: list[socket.socket] = []
    try:
        while True:
            accepted.append(listener.accept()[0])
    except BlockingIOError:
        return accepted


def phases(error_or_stream: ConnectError | ByteStream) -> list[tuple[str, str]]:
    ledger = (
        error_or_stream.ledger
        if isinstance(error_or_stream, ConnectError)
        else error_or_stream.extra(DialAttribute.ledger)
    )
    assert ledger is not None
    return [(p.name, p.outcome) for p in ledger.phases]


Lookup = Callable[..., list[Any]]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str] | Exception | threading.Event]:
    """A hosts file for the test; every lookup is recorded under ``""``."""
    table: dict[str, list[str] | Exception | threading.Event] = {"": []}
    real: Lookup = socket.getaddrinfo

    def lookup(host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0) -> list[Any]:
        name = host.decode() if isinstance(host, bytes) else str(host)
        found = table.get(name)
        # trio first checks for a numeric host, then looks up in a thread.
        if found is None or flags & socket.AI_NUMERICHOST:
            return real(host, port, family, type, proto, flags)
        asked = table[""]
        assert isinstance(asked, list)
        asked.append(name)
        if isinstance(found, Exception):
            raise found
        if isinstance(found, threading.Event):
            found.wait(SLOW)
            return []
        rows: list[Any] = []
        for address in found:
            kind = socket.AF_INET6 if ":" in address else socket.AF_INET
            bare, _, scope = address.partition("%")
            where = (bare, port, 0, int(scope or 0)) if kind == socket.AF_INET6 else (bare, port)
            if family in (0, kind):
                rows.append((kind, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", where))
        return rows

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    return table


# --- a connection -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_an_ip_literal_is_dialled_without_a_lookup(host: str, names: dict[str, Any]) -> None:
    with listening(host) as listener:
        stream = await TcpConnector()(uri_of(listener))
        far, _ = listener.accept()
        with far:
            await stream.send(b"ping")
            assert far.recv(4) == b"ping"
            far.sendall(b"pong!")
            assert await stream.receive(4) == b"pong"
            assert await stream.receive(4) == b"!"
        await stream.aclose()

    assert phases(stream) == [("tcp", "ok")]
    assert isinstance(stream, TransportStream | WrappedStream)
    assert isinstance(stream, TransportStream) == (sniffio.current_async_library() == "asyncio")
    assert (stream.bytes_sent, stream.bytes_received) == (4, 5)


async def test_a_name_is_looked_up_once_in_its_own_phase(names: dict[str, Any]) -> None:
    names["one.test"] = ["127.0.0.1"]
    with listening() as listener:
        stream = await TcpConnector()(Uri("http", "one.test", listener.getsockname()[1]))
        await stream.aclose()

    assert phases(stream) == [("dns", "ok"), ("tcp", "ok")]
    assert names[""] == ["one.test"]


async def test_names_known_to_the_system_are_found() -> None:
    with listening() as listener:
        stream = await TcpConnector(local_address="127.0.0.1")(Uri("http", "localhost", listener.getsockname()[1]))
        await stream.aclose()

    assert phases(stream) == [("dns", "ok"), ("tcp", "ok")]


async def test_no_delay_is_on_and_the_socket_attributes_are_set() -> None:
    with listening() as listener:
        stream = await TcpConnector()(uri_of(listener))
        raw = stream.extra(SocketAttribute.raw_socket)

        assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert stream.extra(SocketAttribute.remote_address) == listener.getsockname()
        await stream.aclose()


async def test_on_close_and_half_close_work_on_both_backends() -> None:
    calls: list[int] = []
    with listening() as listener:
        stream = await TcpConnector()(uri_of(listener))
        assert isinstance(stream, TransportStream | WrappedStream)
        stream.on_close(lambda: calls.append(1))
        far, _ = listener.accept()
        with far:
            await stream.send_eof()
            assert far.recv(1) == b""
            far.sendall(b"x")
            assert await stream.receive() == b"x"
            assert not calls
            await stream.aclose()

    assert calls == [1]


async def test_within_a_dial_to_another_target_via_names_the_address() -> None:
    with listening() as listener, dial(TARGET) as current:
        via = uri_of(listener).authority
        stream = await TcpConnector()(uri_of(listener))
        await stream.aclose()

    assert [p.via for p in current.ledger.phases] == [via]
    assert current.ledger.target == TARGET


async def test_it_dials_from_the_local_address() -> None:
    with listening() as listener:
        stream = await TcpConnector(local_address="127.0.0.5")(uri_of(listener))
        far, peer = listener.accept()
        far.close()
        await stream.aclose()

    assert peer[0] == "127.0.0.5"


@pytest.mark.parametrize("address", ["192.0.2.1", "::1"])
async def test_a_local_address_that_cannot_be_used_fails_the_tcp_phase(address: str) -> None:
    with listening() as listener, pytest.raises(ConnectError) as caught:
        await TcpConnector(local_address=address)(uri_of(listener))

    assert caught.value.phase == "tcp"
    gc.collect()  # a leaked socket would warn


async def test_a_refusal_is_recognised_with_a_local_address_too() -> None:
    with pytest.raises(ConnectRefused):
        await TcpConnector(local_address="127.0.0.1")(Uri("http", "127.0.0.1", unused_port()))


async def test_only_the_family_of_the_local_address_is_tried(names: dict[str, Any]) -> None:
    names["both.test"] = ["::1", "127.0.0.1"]
    with listening() as listener:
        port = listener.getsockname()[1]
        stream = await TcpConnector(local_address="127.0.0.1")(Uri("http", "both.test", port))
        await stream.aclose()
        with pytest.raises(ConnectError) as caught:
            await TcpConnector(local_address="::1")(uri_of(listener))

    assert caught.value.phase == "tcp"


# --- the lookup -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("problem", "transient"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), False),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), True),
        (UnicodeError("label too long"), False),
    ],
)
async def test_a_name_without_an_address_fails_in_the_dns_phase(
    problem: Exception, transient: bool, names: dict[str, Any]
) -> None:
    names["none.test"] = problem
    with pytest.raises(ResolveError) as caught:
        await TcpConnector()(Uri("http", "none.test", 80))

    error = caught.value
    assert (error.phase, error.transient) == ("dns", transient)
    assert phases(error) == [("dns", "failed")]
    assert re.match(r"http://none\.test:80: dns failed after \d+\.\d\d s: none\.test: ", str(error))
    assert error.__cause__ is problem


async def test_an_empty_answer_means_no_address(names: dict[str, Any]) -> None:
    names["empty.test"] = []
    with pytest.raises(ResolveError, match=r"empty\.test: no address"):
        await TcpConnector()(Uri("http", "empty.test", 80))


async def test_a_label_that_is_too_long_is_a_resolve_error() -> None:
    with pytest.raises(ResolveError) as caught:
        await TcpConnector()(Uri("http", f"{'a' * 64}.test", 80))

    assert not caught.value.transient


async def test_families_alternate_and_duplicates_are_dropped(names: dict[str, Any]) -> None:
    names["many.test"] = ["2001:db8::1", "2001:db8::2", "2001:db8::1", "192.0.2.1", "192.0.2.2", "192.0.2.3"]

    assert await _resolve("many.test", None) == [
        "2001:db8::1",
        "192.0.2.1",
        "2001:db8::2",
        "192.0.2.2",
        "192.0.2.3",
    ]


async def test_the_scope_of_a_link_local_address_is_kept(names: dict[str, Any]) -> None:
    names["near.test"] = ["fe80::1%2"]

    assert await _resolve("near.test", None) == ["fe80::1%2"]


async def test_a_slow_lookup_uses_up_its_own_timeout(names: dict[str, Any]) -> None:
    answer = names["slow.test"] = threading.Event()
    try:
        with pytest.raises(ConnectTimeout) as caught:
            await TcpConnector(dns_timeout=0.05)(Uri("http", "slow.test", 80))
    finally:
        answer.set()

    assert (caught.value.phase, caught.value.name, caught.value.limit) == ("dns", "dns_timeout", 0.05)


# --- refusals, timeouts and the race ----------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_port_without_a_listener_is_refused(host: str) -> None:
    uri = Uri("http", host, unused_port(host))
    with pytest.raises(ConnectRefused) as caught:
        await TcpConnector()(uri)

    error = caught.value
    assert isinstance(error, ConnectionRefusedError)
    assert (error.phase, error.via, error.transient, error.sent_to_target) == ("tcp", None, True, False)
    assert f"connection refused ({host})" in str(error)
    assert str(error).startswith(f"{uri}: tcp failed after ")
    assert phases(error) == [("tcp", "failed")]


@pytest.mark.parametrize("order", [["::1", "127.0.0.1"], ["127.0.0.1", "::1"]])
async def test_an_address_that_refuses_does_not_stop_the_next_one(order: list[str], names: dict[str, Any]) -> None:
    names["both.test"] = order
    with listening() as listener:
        with anyio.fail_after(SLOW):
            stream = await TcpConnector(happy_eyeballs_delay=1000)(Uri("http", "both.test", listener.getsockname()[1]))
        assert stream.extra(SocketAttribute.remote_address) == listener.getsockname()
        await stream.aclose()


async def test_if_all_addresses_refuse_the_error_names_them_all(names: dict[str, Any]) -> None:
    names["both.test"] = ["::1", "127.0.0.1"]
    with pytest.raises(ConnectRefused, match=re.escape("connection refused (::1, 127.0.0.1)")) as caught:
        await TcpConnector()(Uri("http", "both.test", unused_port()))

    assert isinstance(caught.value.__cause__, OSError)


def test_a_refusal_among_other_errors_is_not_a_connect_refused() -> None:
    refused = ConnectionRefusedError(errno.ECONNREFUSED, "x")
    unreachable = OSError(errno.ENETUNREACH, "x")

    assert isinstance(_connect_error(["a", "b"], [refused, refused]), ConnectRefused)
    mixed = _connect_error(["a", "b"], [refused, unreachable])
    assert not isinstance(mixed, ConnectRefused)
    assert mixed.message == "connection refused; network is unreachable (a, b)"


async def test_an_unresponsive_address_does_not_delay_the_next_one(names: dict[str, Any]) -> None:
    names["two.test"] = ["127.0.0.2", "127.0.0.1"]
    with listening() as listener, deaf("127.0.0.2", listener.getsockname()[1]) as port, anyio.fail_after(SLOW):
        stream = await TcpConnector(happy_eyeballs_delay=0.01)(Uri("http", "two.test", port))

        assert stream.extra(SocketAttribute.remote_address) == ("127.0.0.1", port)
        await stream.aclose()


async def test_an_unresponsive_address_uses_up_the_timeout() -> None:
    with deaf("127.0.0.1") as port, pytest.raises(ConnectTimeout) as caught:
        await TcpConnector(timeout=0.05)(Uri("http", "127.0.0.1", port))

    assert (caught.value.phase, caught.value.name, caught.value.limit) == ("tcp", "TcpConnector timeout", 0.05)
    assert phases(caught.value) == [("tcp", "timeout")]


async def test_the_other_connections_of_the_race_are_closed(names: dict[str, Any]) -> None:
    addresses = [f"127.0.0.{n}" for n in range(1, 6)]
    names["many.test"] = addresses
    with listening("0.0.0.0") as listener:
        port = listener.getsockname()[1]
        for _ in range(10):
            stream = await TcpConnector(happy_eyeballs_delay=1e-9)(Uri("http", "many.test", port))
            await stream.send(b"winner")
            won = 0
            for far in accept_all(listener):
                with far:
                    far.settimeout(SLOW)
                    try:
                        won += far.recv(6) == b"winner"
                    except ConnectionResetError:
                        pass  # one that lost the race, closed by force
            assert won == 1
            await stream.aclose()


# --- cancellation -----------------------------------------------------------------------------------------------------


def open_sockets() -> int:
    gc.collect()
    if not os.path.isdir("/proc/self/fd"):
        return 0
    return sum(1 for fd in os.listdir("/proc/self/fd") if is_socket(fd))


def is_socket(fd: str) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{fd}").startswith("socket:")
    except OSError:
        return False  # the directory's own descriptor


@pytest.mark.parametrize("local", [None, "127.0.0.1"])
@pytest.mark.parametrize("host", ["127.0.0.1", "one.test", "two.test"])
async def test_a_cancellation_at_any_await_leaves_no_socket_open(
    host: str, local: str | None, names: dict[str, Any]
) -> None:
    names.update({"one.test": ["127.0.0.1"], "two.test": ["127.0.0.2", "127.0.0.1"]})
    answered: list[ByteStream] = []

    async def work(uri: Uri, connector: TcpConnector) -> None:
        answered.append(await connector(uri))

    with listening("0.0.0.0", backlog=1000) as listener:
        uri = Uri("http", host, listener.getsockname()[1])
        before = open_sockets()
        steps = 0
        while steps < 100_000 and len(answered) < 3:
            async with anyio.create_task_group() as group:
                group.start_soon(work, uri, TcpConnector(local_address=local, happy_eyeballs_delay=1e-9))
                for _ in range(steps):
                    await checkpoint()
                group.cancel_scope.cancel()
            steps += 1 + steps // 50  # a lookup in a thread takes any number of cycles
        assert len(answered) == 3
        assert steps > 3
        for stream in answered:
            await stream.aclose()
        with anyio.fail_after(SLOW):
            while open_sockets() > before:
                await checkpoint()


# --- configuration ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["timeout", "dns_timeout", "happy_eyeballs_delay"])
def test_a_duration_that_is_not_positive_and_finite_is_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be a positive number of seconds.*, not {value!r}$"):
        TcpConnector(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("address", ["localhost", "", "127.0.0.1:80", "[::1]"])
def test_a_local_address_that_is_not_an_ip_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"local_address must be an IP address, not {address!r}")):
        TcpConnector(local_address=address)


def test_it_is_frozen_and_comparable() -> None:
    assert TcpConnector(1.0) == TcpConnector(timeout=1.0)
    with pytest.raises(AttributeError):
        TcpConnector().timeout = 1.0  # type: ignore[misc]


async def test_a_unix_uri_is_refused_with_a_hint() -> None:
    with pytest.raises(ConnectError, match="use SocketConnector") as caught:
        await TcpConnector()(Uri("unix", path="/s"))

    assert not caught.value.transient


async def test_a_slow_name_does_not_use_up_the_time_for_tcp(names: dict[str, Any]) -> None:
    slow = threading.Event()
    names["slow.test"] = slow
    with listening() as listener:
        port = listener.getsockname()[1]
        # The lookup takes longer than tcp may.
        threading.Timer(0.2, slow.set).start()
        with pytest.raises(ResolveError, match=r"slow\.test: no address"):  # what the stand-in says in the end
            await TcpConnector(timeout=0.05)(Uri("http", "slow.test", port))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_connection_to_itself_is_recognised(host: str) -> None:
    raw = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    raw.bind((host, 0))
    raw.connect(raw.getsockname()[:2])  # simultaneous open, with itself
    raw.setblocking(False)
    stream = WrappedStream(await SocketStream.from_socket(raw))

    assert is_self_connected(stream)
    await stream.aclose()


async def test_two_ends_on_one_host_are_not_one_socket() -> None:
    with listening() as listener:
        stream = await TcpConnector()(uri_of(listener))
        assert isinstance(stream, TransportStream | WrappedStream)
        assert not is_self_connected(stream)
        await stream.aclose()


def resolving(*addresses: str) -> Any:
    async def resolver(host: str) -> tuple[str, ...]:
        return addresses

    return resolver


async def test_a_resolver_of_ones_own_is_asked_instead_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("the system was asked"))
    with listening() as listener:
        leaf = TcpConnector(resolver=StaticHosts({"far.example": "127.0.0.1"}))
        stream = await leaf(Uri("http", "far.example", listener.getsockname()[1]))
        await stream.aclose()

    assert [entry.name for entry in stream.extra(DialAttribute.ledger).phases] == ["dns", "tcp"]


async def test_its_addresses_are_raced_by_family_and_chosen_by_the_local_address() -> None:
    found = ["192.0.2.1", "192.0.2.2", "2001:db8::1"]
    resolver = resolving(*found, "192.0.2.1")

    assert await _resolve("far.example", None, resolver) == ["192.0.2.1", "2001:db8::1", "192.0.2.2"]
    assert await _resolve("far.example", "::", resolver) == ["2001:db8::1"]
    assert await _resolve("far.example", "127.0.0.1", resolver) == ["192.0.2.1", "192.0.2.2"]
    with pytest.raises(ResolveError, match="no address of the family of local_address"):
        await _resolve("far.example", "::", resolving("192.0.2.1"))


async def test_literals_are_not_looked_up() -> None:
    with listening() as listener:
        leaf = TcpConnector(resolver=resolving())
        async with await leaf(uri_of(listener)) as stream:
            assert [entry.name for entry in stream.extra(DialAttribute.ledger).phases] == ["tcp"]


def test_a_resolver_is_in_the_repr_if_there_is_one() -> None:
    assert "resolver" not in repr(TcpConnector())
    assert repr(TcpConnector(resolver=StaticHosts({}))).endswith(
        "dns_timeout=5.0, resolver=StaticHosts(hosts={}, otherwise=None))"
    )


@pytest.mark.parametrize("wrong", ["192.0.2.53", StaticHosts])
def test_a_resolver_is_a_function(wrong: Any) -> None:
    with pytest.raises(TypeError, match="resolver must be an async function"):
        TcpConnector(resolver=wrong)
