"""``ziggurat peers``, without a running node; ``test_daemon.py`` has the tests with one."""

from __future__ import annotations

from pathlib import Path

import anyio.to_thread
import pytest

from tests.node.running import answering
from ziggurat.node.cli.command import main
from ziggurat.node.cli.commands.peers import COLUMNS, peer_cells, peer_table
from ziggurat.node.cli.table import table_lines
from ziggurat.node.daemon.control import serve_control

PEER: dict[str, object] = {
    "address": "192.0.2.1:16111",
    "direction": "inbound",
    "network": "ipv4",
    "via": None,
    "age": 3725.4,
    "ping": 0.0123,
    "user_agent": "/kaspad:2.1.0/",
}


def test_without_a_running_node_it_prints_an_error_and_exits_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["peers", "--appdir", str(tmp_path), "--devnet"]) == 1
    out, err = capsys.readouterr()

    assert out == ""
    assert f"no node is running in {tmp_path}/kaspa-devnet" in err


@pytest.mark.parametrize(
    ("changed", "cells"),
    [
        ({}, ["in", "192.0.2.1:16111", "direct", "1h 02m", "12 ms", "/kaspad:2.1.0/"]),
        (
            {"via": "127.0.0.1:9050", "ping": None, "direction": "outbound"},
            ["out", "192.0.2.1:16111", "127.0.0.1:9050", "1h 02m", "-", "/kaspad:2.1.0/"],
        ),
        ({"age": 200_000.0, "ping": 1.54}, ["in", "192.0.2.1:16111", "direct", "2d 07h", "1.5 s", "/kaspad:2.1.0/"]),
        (
            {"address": "127.0.0.1:5", "via": "proxied", "network": "onion"},
            ["in", "127.0.0.1:5", "onion", "1h 02m", "12 ms", "/kaspad:2.1.0/"],
        ),
        (
            {"address": "10.0.0.1:5", "via": "proxied", "network": "ipv4"},
            ["in", "10.0.0.1:5", "proxied", "1h 02m", "12 ms", "/kaspad:2.1.0/"],
        ),
        ({"age": 0.2, "ping": 0.00123}, ["in", "192.0.2.1:16111", "direct", "0s", "1.2 ms", "/kaspad:2.1.0/"]),
    ],
)
def test_a_peer_is_one_row(changed: dict[str, object], cells: list[str]) -> None:
    assert peer_cells({**PEER, **changed}) == cells


def test_the_longest_ipv4_row_through_a_proxy_fits_into_80_columns() -> None:
    peer = {
        **PEER,
        "address": "192.168.100.100:16111",
        "via": "192.168.100.1:9050",
        "direction": "outbound",
        "age": 5e6,
        "ping": 0.123,
        "user_agent": "/kaspad:2.1.0/kaspad:2.1.0/",
    }
    lines = table_lines(COLUMNS, [peer_cells(peer)], lambda colour, text: text, 80)

    assert max(map(len, lines)) == 80
    assert lines[1].endswith("/kaspad:2.1.0/…")


DIALLED: dict[str, object] = {
    **PEER,
    "direction": "outbound",
    "via": "127.0.0.1:9050",
    "isolation": "dial",
    "circuit": {
        "id": "17",
        "path": [
            {"fingerprint": "A" * 40, "nickname": "guard"},
            {"fingerprint": "0123456789" * 4, "nickname": None},
            {"fingerprint": "C" * 40, "nickname": "exit"},
        ],
    },
    "circuit_unknown": None,
}


@pytest.mark.parametrize(
    ("peers", "titles", "cells"),
    [
        ([PEER], [], [[]]),
        ([DIALLED], ["net", "iso", "circuit"], [["ipv4", "dial", "17 guard,$01234567,exit"]]),
        (
            [DIALLED, PEER],  # of the second nothing is known, as a node of an earlier version says nothing
            ["net", "iso", "circuit"],
            [["ipv4", "dial", "17 guard,$01234567,exit"], ["ipv4", "-", "-"]],
        ),
        ([{**DIALLED, "circuit": {"id": "17", "path": None}}], ["net", "iso", "circuit"], [["ipv4", "dial", "17"]]),
        # Without a control port there is no column.
        ([{**DIALLED, "circuit": None, "circuit_unknown": "no control port"}], ["net", "iso"], [["ipv4", "dial"]]),
        (
            [{**DIALLED, "circuit": None, "circuit_unknown": "not known to Tor", "isolation": "none"}],
            ["net", "iso", "circuit"],
            [["ipv4", "none", "not known to Tor"]],
        ),
        ([{**PEER, "via": "onion", "network": "onion"}], ["net", "iso"], [["onion", "-"]]),
    ],
    ids=["direct", "tor", "mixed", "path unknown", "no control port", "unknown", "inbound onion"],
)
def test_network_isolation_and_circuit_are_columns_where_there_is_something_to_say(
    peers: list[dict[str, object]], titles: list[str], cells: list[list[str]]
) -> None:
    columns, rows = peer_table(peers)

    assert [column.title for column in columns] == ["dir", "address", "via", *titles, "age", "ping", "user agent"]
    assert [row[3:-3] for row in rows] == cells


@pytest.mark.asyncio_only
@pytest.mark.real_io
@pytest.mark.parametrize(
    ("peers", "arguments", "shown"),
    [
        ([], [], "no peers yet on kaspa-devnet\n"),
        ([], ["--json"], '{"schema": 1, "peers": []}\n'),
        (
            [PEER],
            [],
            "dir  address          via        age   ping  user agent\n"
            "in   192.0.2.1:16111  direct  1h 02m  12 ms  /kaspad:2.1.0/\n",
        ),
    ],
)
async def test_the_peers_of_the_running_node_are_a_table(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    peers: list[dict[str, object]],
    arguments: list[str],
    shown: str,
) -> None:
    (tmp_path / "kaspa-devnet").mkdir()
    async with serve_control(tmp_path / "kaspa-devnet", {"peers": answering(peers)}):
        code = await anyio.to_thread.run_sync(main, ["peers", "--appdir", str(tmp_path), "--devnet", *arguments])

    assert (code, capsys.readouterr().out) == (0, shown)


@pytest.mark.asyncio_only
@pytest.mark.real_io
async def test_the_node_of_another_network_that_runs_beside_it_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "kaspa-devnet").mkdir()
    async with serve_control(tmp_path / "kaspa-devnet", {}):
        code = await anyio.to_thread.run_sync(main, ["peers", "--appdir", str(tmp_path)])

    assert code == 1
    assert "kaspa-devnet (use --devnet)" in capsys.readouterr().err
