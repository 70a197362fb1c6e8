"""What both forwarders share: events, counters, failures of one connection, and the stop."""

from __future__ import annotations

import anyio
import pytest
from anyio.abc import ByteStream
from structlog.testing import capture_logs

from tests.layers.forward.ends import connect, targets, until
from ziggurat.layers import ServiceBuilder
from ziggurat.layers.forward import ForwardCounters, ForwardedConnection, Forwarder, Socks5Listener
from ziggurat.layers.testing import MemoryStream, Socks5Server, mock_connector, stream_pair
from ziggurat.services import ConnectRefused, TcpConnector, Uri, dial, phase

TARGET = Uri("tcp", "a.test", 80)


async def test_the_events_of_a_connection() -> None:
    async def leaf(uri: Uri, /) -> ByteStream:
        with dial(uri) as current, phase("proxy.connect", via="proxy:1080"):
            await anyio.sleep(2.0)
            near, far = stream_pair()
            made.append(far)
            return current.established(near)

    made: list[MemoryStream] = []
    client, near = stream_pair()
    with capture_logs() as logs:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Forwarder(leaf, TARGET).handle, near)
            await client.send(b"ping")
            while not made:  # noqa: ASYNC110  (virtual time)
                await anyio.sleep(1.0)
            assert await made[0].receive() == b"ping"
            await client.send_eof()
            await made[0].send_eof()
    opened, closed = logs
    common = {"client": "unknown", "target": "tcp://a.test:80", "via": "proxy:1080", "dial": opened["dial"]}
    assert opened == {"event": "forward.opened", "log_level": "info", "elapsed": 2.0, **common}
    assert closed.pop("elapsed") >= 2.0
    assert closed == {
        "event": "forward.closed",
        "log_level": "info",
        "phase": None,
        "sent": 4,
        "received": 0,
        "error": None,
        **common,
    }


async def test_a_failed_dial_has_one_event() -> None:
    async def leaf(uri: Uri, /) -> ByteStream:
        with dial(uri), phase("tcp"):
            raise ConnectRefused("connection refused")

    records: list[ForwardedConnection] = []
    _, near = stream_pair()
    with capture_logs() as logs:
        forwarder = Forwarder(leaf, TARGET, report=records.append)
        await forwarder.handle(near)
    (closed,) = logs
    assert (closed["event"], closed["phase"], closed["error"]) == ("forward.closed", "tcp", "connection refused")
    assert forwarder.counters == ForwardCounters(accepted=1, failed=1)
    assert near.closed
    assert records[0].opened is False


async def test_a_bug_in_a_layer_ends_one_connection_only() -> None:
    async def leaf(uri: Uri, /) -> ByteStream:
        raise LookupError("a bug")

    records: list[ForwardedConnection] = []
    _, near = stream_pair()
    await Forwarder(leaf, TARGET, report=records.append).handle(near)
    assert records[0].error == "LookupError: a bug"


async def test_a_cancelled_dial_leaves_nothing_open() -> None:
    connector, handle = mock_connector()
    records: list[ForwardedConnection] = []
    _, near = stream_pair()
    with anyio.move_on_after(5.0):
        await Forwarder(connector, TARGET, report=records.append).handle(near)
    assert near.closed
    assert len(handle.requests) == 1
    assert records[0].error == "cut off when the forwarder stopped"


async def test_a_client_that_leaves_while_the_reply_is_sent_costs_the_target_its_connection() -> None:
    target, far = stream_pair()

    async def leaf(uri: Uri, /) -> ByteStream:
        client.reset()
        return far

    records: list[ForwardedConnection] = []
    client, near = stream_pair()
    await client.send(b"\5\1\0\5\1\0\3\6a.test\0\x50")
    await Socks5Listener(leaf, report=records.append).handle(near)
    assert far.closed
    assert records[0].error == "the client left before the target was reached"
    await target.aclose()


@pytest.mark.real_io
async def test_a_refused_client_that_has_sent_more_can_read_the_reply() -> None:
    """A socket that is closed with unread bytes in it is reset, and the reply may be lost with it."""

    async def fail(uri: Uri, /) -> ByteStream:
        raise ConnectRefused("no")

    with anyio.fail_after(20):
        async with Socks5Listener(fail).serve() as address, await connect(address) as client:
            await client.send(b"\5\1\0\5\1\0\3\6a.test\0\x50" + b"early" * 1000)
            assert await client.rest() == b"\5\0\5\5\0\1\0\0\0\0\0\0"


@pytest.mark.real_io
async def test_a_chain_of_forwarders_and_a_proxy_on_real_sockets() -> None:
    async with targets() as far, Socks5Server().serve() as proxy:
        inner = Socks5Listener(ServiceBuilder().socks5(proxy).service(TcpConnector()))
        async with inner.serve() as address:
            through = ServiceBuilder().socks5(f"{address.host}:{address.port}").service(TcpConnector())
            outer = Forwarder(through, f"127.0.0.1:{far.port}")
            with anyio.fail_after(20):
                async with outer.serve() as entrance:
                    async with await connect(entrance) as client, await far.next() as target:
                        await client.send(b"x" * 3_000_000)
                        client.end()
                        assert len(await target.rest()) == 3_000_000
                        await target.send(b"seen")
                        target.end()
                        assert await client.rest() == b"seen"
                    await until(lambda: outer.counters.open == inner.counters.open == 0)
    assert outer.counters == inner.counters == ForwardCounters(1, 1, 0, 0, 3_000_000, 4)


@pytest.mark.real_io
async def test_a_second_cancellation_during_the_drain_cuts_at_once() -> None:
    async with targets() as far:
        forwarder = Forwarder(TcpConnector(), f"127.0.0.1:{far.port}", drain=1000.0)
        with anyio.fail_after(20):
            with anyio.CancelScope() as scope:
                async with forwarder.serve() as address:
                    client, target = await connect(address), await far.next()
                    await until(lambda: forwarder.counters.opened)
                    scope.deadline = anyio.current_time() + 0.05
            assert scope.cancelled_caught
            async with client, target:
                assert await client.is_reset()
                assert await target.is_reset()
    assert forwarder.counters.open == 0
