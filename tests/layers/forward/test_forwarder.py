"""The forwarder on real sockets. Each test that a program of the field has failed names its report."""

from __future__ import annotations

import contextlib
import gc
import os
import stat
import weakref
from pathlib import Path

import anyio
import pytest
from anyio.abc import ByteStream
from structlog.testing import capture_logs

from tests.layers.forward.ends import End, connect, field, targets, until
from ziggurat.layers.forward import ForwardCounters, Forwarder
from ziggurat.layers.forward.forwarder import parse_target
from ziggurat.services import ConnectRefused, SocketConnector, TcpConnector, Uri

pytestmark = pytest.mark.real_io

MANY = bytes(range(256)) * 4096 * 8  # 8 MiB: more than the buffers of both connections take


async def test_a_client_that_ends_still_gets_the_answer() -> None:
    """inetaf/tcpproxy #21, envoy #2067, armon/go-socks5 #9: they closed both connections at the first end."""
    async with field() as there:
        client, target = await there.pair()
        async with client, target:
            await client.send(b"ping")
            client.end()
            assert await target.rest() == b"ping"
            await target.send(b"pong")
            assert await client.receive() == b"pong"
            target.end()
            assert await client.rest() == b""
            await until(lambda: there.ended)
    assert (there.ended[0].sent, there.ended[0].received, there.ended[0].error) == (4, 4, None)


async def test_a_target_that_ends_first_still_gets_everything() -> None:
    async with field() as there:
        client, target = await there.pair()
        async with client, target:
            target.end()
            assert await client.rest() == b""
            await client.send(MANY)
            client.end()
            assert await target.rest() == MANY


async def test_megabytes_pass_both_ways_at_once() -> None:
    async with field() as there:
        client, target = await there.pair()
        got: dict[str, bytes] = {}

        async def use(name: str, end: End) -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(end.send, MANY)
                got[name] = await end.exactly(len(MANY))

        async with client, target:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(use, "client", client)
                tasks.start_soon(use, "target", target)
            assert got == {"client": MANY, "target": MANY}
            assert there.forwarder.counters == ForwardCounters(1, 1, 0, 1, len(MANY), len(MANY))


async def test_a_target_that_does_not_read_stops_the_client_and_costs_a_bounded_buffer() -> None:
    async with field() as there:
        client, target = await there.pair()
        async with client, target:
            quiet = 0
            while quiet < 3:  # until nothing moves any more
                quiet = 0 if client.fill() else quiet + 1
                for _ in range(20):
                    await anyio.lowlevel.checkpoint()
                await anyio.sleep(0.01)
            forwarder_has = there.forwarder.counters.sent
            client.end()
            everything = await target.rest()
            assert set(everything) == {ord("z")}
            # What it had read was in the buffers of the kernel, or in one piece in ours.
            assert forwarder_has <= len(everything)


async def test_a_broken_target_resets_the_client_after_what_it_has_sent() -> None:
    """An orderly end would make half a reply look like a whole one."""
    async with field() as there:
        client, target = await there.pair()
        async with client:
            await target.send(b"half a rep")
            assert await client.receive() == b"half a rep"
            target.break_off()
            assert await client.is_reset()
            await until(lambda: there.ended)
    assert there.ended[0].error == "the target broke the connection"


async def test_a_broken_client_resets_the_target() -> None:
    async with field() as there:
        client, target = await there.pair()
        async with target:
            client.break_off()
            assert await target.is_reset()
            await until(lambda: there.ended)
    assert there.ended[0].error == "the client broke the connection"
    assert there.forwarder.counters.failed == 1


async def test_a_reset_connection_disturbs_no_other_and_later_ones_work() -> None:
    """kubernetes #111825, kubectl #1169: port-forward ended with the first connection that was reset."""
    async with field() as there:
        other, other_target = await there.pair()
        async with other, other_target:
            for _ in range(20):
                client, target = await there.pair()
                target.break_off()
                assert await client.is_reset()
                client.close()
            await other.send(b"still there")
            assert await other_target.receive() == b"still there"
        client, target = await there.pair()
        async with client, target:
            await client.send(b"new")
            assert await target.receive() == b"new"


async def test_a_target_that_refuses_resets_the_client_and_is_told() -> None:
    async def refuse(uri: Uri, /) -> ByteStream:
        raise ConnectRefused("connection refused (127.0.0.1)", hint="nothing listens there")

    with capture_logs() as logs:
        async with field(refuse) as there, await connect(there.address) as client:
            assert await client.is_reset()
            await until(lambda: there.ended)
    record = there.ended[0]
    assert (record.opened, record.error) == (False, "connection refused (127.0.0.1); nothing listens there")
    assert [(log["event"], log["error"]) for log in logs] == [("forward.closed", record.error)]


async def test_beyond_the_limit_clients_wait_to_be_accepted() -> None:
    async with field(max_connections=2) as there:
        first, second = await there.pair(), await there.pair()
        third = await connect(there.address)
        await third.send(b"third")
        await first[0].send(b"moves")
        assert await first[1].receive() == b"moves"
        assert there.forwarder.counters.accepted == 2
        for end in first:
            end.close()
        async with third, await there.far.next() as target:
            assert await target.receive() == b"third"
            for end in second:
                end.close()


async def test_a_stop_waits_for_what_is_open() -> None:
    async with targets() as far:
        forwarder = Forwarder(TcpConnector(), f"127.0.0.1:{far.port}", drain=20.0)

        async def finish() -> None:
            with contextlib.suppress(ConnectionRefusedError):
                while True:
                    (await connect(address)).close()
                    await anyio.sleep(0.001)
            await target.send(MANY)
            target.close()

        async def read() -> None:
            assert await client.rest() == MANY
            client.close()

        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks, forwarder.serve() as address:
                client, target = await connect(address), await far.next()
                tasks.start_soon(finish)
                tasks.start_soon(read)
        assert forwarder.counters.open == 0


async def test_a_stop_while_busy_cuts_with_a_reset_after_the_drain() -> None:
    async with field(drain=0.05) as there:
        client, target = await there.pair()
        target.fill()
    async with client, target:
        assert await client.is_reset()
    assert there.ended[0].error == "cut off when the forwarder stopped"


async def test_an_exception_in_the_block_passes_through_and_cuts_at_once() -> None:
    with pytest.raises(LookupError, match="mine"):  # noqa: PT012
        async with field(drain=1000.0) as there:
            client, target = await there.pair()
            raise LookupError("mine")
    async with client, target:
        assert await client.is_reset()
        assert await target.is_reset()


async def test_a_client_that_sends_before_there_is_a_target_loses_nothing() -> None:
    release = anyio.Event()

    async def slow(uri: Uri, /) -> ByteStream:
        await release.wait()
        return await TcpConnector()(uri)

    async with field(slow) as there, await connect(there.address) as client:
        await client.send(MANY[:500_000])
        client.end()
        await until(lambda: there.forwarder.counters.accepted)
        release.set()
        async with await there.far.next() as target:
            assert await target.rest() == MANY[:500_000]


async def test_nothing_of_a_connection_is_left() -> None:
    async with field() as there:
        for _ in range(3):
            client, target = await there.pair()
            client.close()
            target.close()
        await until(lambda: there.forwarder.counters.accepted == 3 and there.forwarder.counters.open == 0)
        left = [weakref.ref(each) for each in there.ended]
        assert len(left) == 3
        there.ended.clear()
        gc.collect()
        assert [each() for each in left] == [None] * 3


async def test_it_listens_on_a_unix_socket_of_this_user_and_dials_one(tmp_path: Path) -> None:
    inner, outer = str(tmp_path / "inner"), str(tmp_path / "outer")
    async with targets() as far:
        first = Forwarder(TcpConnector(), f"127.0.0.1:{far.port}")
        second = Forwarder(SocketConnector(), f"unix:{inner}")
        with anyio.fail_after(30):
            async with first.serve(f"unix:{inner}"), second.serve(f"unix:{outer}") as address:
                assert str(address) == f"unix:{outer}"
                assert stat.S_IMODE((tmp_path / "outer").stat().st_mode) == 0o600
                async with await connect(address) as client, await far.next() as target:
                    await client.send(b"through two")
                    client.end()
                    assert await target.rest() == b"through two"
    assert os.listdir(tmp_path) == []


async def test_an_address_beyond_loopback_has_to_be_allowed() -> None:
    forwarder = Forwarder(TcpConnector(), "127.0.0.1:1")
    with pytest.raises(ValueError, match=r"0\.0\.0\.0:0 can be reached from other machines: pass allow_remote=True"):
        async with forwarder.serve("0.0.0.0:0"):
            pass
    async with forwarder.serve("0.0.0.0:0", allow_remote=True) as address:
        assert (address.host, address.is_loopback) == ("0.0.0.0", False)


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("db.corp:5432", Uri("tcp", "db.corp", 5432)),
        ("[::1]:80", Uri("tcp", "::1", 80)),
        ("https://api.example", Uri("https", "api.example", 443)),
        ("unix:/run/x", Uri("unix", path="/run/x")),
        ("unix-abstract:x", Uri("unix-abstract", path="x")),
    ],
)
def test_targets(text: str, uri: Uri) -> None:
    assert parse_target(text) == uri


@pytest.mark.parametrize(
    ("text", "message"), [("db.corp", "no port in 'db.corp'"), ("::1:80", "needs brackets"), ("a:b", "bad port: 'b'")]
)
def test_wrong_targets(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Forwarder(TcpConnector(), text)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_connections": 0}, "max_connections must be"),
        ({"idle_timeout": 0.0}, "idle_timeout must be"),
        ({"drain": -1.0}, "drain must be"),
    ],
)
def test_wrong_settings(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Forwarder(TcpConnector(), "a:1", **settings)  # type: ignore[arg-type]


def test_repr() -> None:
    assert repr(Forwarder(TcpConnector(), "db.corp:5432")) == "Forwarder(to tcp://db.corp:5432, 0 open)"
