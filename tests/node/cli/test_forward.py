"""A forwarder that runs until a signal, and its lines."""

from __future__ import annotations

import os
import signal

import anyio
import pytest

from tests.layers.forward.ends import connect, targets, until
from ziggurat.layers.forward import ForwardedConnection, Forwarder, ListenAddress
from ziggurat.node.cli.forward import connection_line, run_forwarder, shown_size
from ziggurat.services import TcpConnector, Uri

pytestmark = pytest.mark.asyncio_only


def ended(**values: object) -> ForwardedConnection:
    record = ForwardedConnection("127.0.0.1:5000")
    for name, value in {"target": Uri("tcp", "db.corp", 5432), "elapsed": 12.34, **values}.items():
        setattr(record, name, value)
    return record


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"opened": True, "sent": 1234, "received": 34}, "127.0.0.1:5000 > db.corp:5432: 1.2 kB up, 34 B down, 12.3 s"),
        (
            {"opened": True, "via": "proxy:1080", "error": "idle for 5 s"},
            "127.0.0.1:5000 > db.corp:5432 through proxy:1080: 0 B up, 0 B down, 12.3 s; idle for 5 s",
        ),
        (
            {"phase": "tcp", "error": "connection refused"},
            "127.0.0.1:5000 > db.corp:5432: tcp failed: connection refused after 12.34 s",
        ),
        (
            {"target": None, "error": "the client does not speak SOCKS5"},
            "127.0.0.1:5000: the client does not speak SOCKS5 after 12.34 s",
        ),
    ],
)
async def test_a_connection_is_one_line(values: dict[str, object], line: str) -> None:
    assert connection_line(ended(**values)) == line


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (9949, "9.9 kB"),
        (9951, "10 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (123_456_789, "123 MB"),
        (5 * 10**15, "5000 TB"),
    ],
)
def test_sizes(size: int, shown: str) -> None:
    assert shown_size(size) == shown


@pytest.mark.real_io
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_runs_until_a_signal_and_lets_what_is_open_end(number: signal.Signals) -> None:
    said: list[str] = []
    async with targets() as far:
        forwarder = Forwarder(TcpConnector(), f"127.0.0.1:{far.port}", drain=20.0)
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:

                async def run() -> None:
                    await run_forwarder(forwarder, ListenAddress(), said.append, allow_remote=False)

                tasks.start_soon(run)
                await until(lambda: said)
                address = ListenAddress.parse(said[0].removeprefix("listening on "))
                async with await connect(address) as client, await far.next() as target:
                    await until(lambda: forwarder.counters.opened)
                    os.kill(os.getpid(), number)
                    await until(lambda: len(said) > 1)
                    await target.send(b"last")
                    target.end()
                    assert await client.rest() == b"last"
    assert said[1:] == [
        "stopping: 1 connection may go on for 20 s; a second signal ends it at once",
        "stopped: 1 accepted, 1 opened, 0 failed, 0 B up, 4 B down",
    ]
