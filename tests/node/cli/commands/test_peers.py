"""``ziggurat peers``, without a running node; ``test_daemon.py`` has the tests with one."""

from __future__ import annotations

from pathlib import Path

import pytest

from ziggurat.node.cli.command import main
from ziggurat.node.cli.commands.peers import peer_line

PEER: dict[str, object] = {
    "address": "192.0.2.1:16111",
    "direction": "inbound",
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
    ("changed", "shown"),
    [
        ({}, "inbound 192.0.2.1:16111 direct 01:02:05 ping 12.3 ms /kaspad:2.1.0/"),
        (
            {"via": "127.0.0.1:9050", "ping": None, "direction": "outbound"},
            "outbound 192.0.2.1:16111 via 127.0.0.1:9050 01:02:05 ping - /kaspad:2.1.0/",
        ),
        ({"age": 200_000.0}, "inbound 192.0.2.1:16111 direct 2d 07:33:20 ping 12.3 ms /kaspad:2.1.0/"),
    ],
)
def test_a_peer_is_one_line(changed: dict[str, object], shown: str) -> None:
    assert peer_line({**PEER, **changed}) == shown


def test_a_user_agent_cannot_forge_a_line_or_move_the_cursor() -> None:
    assert peer_line({**PEER, "user_agent": "a\nb\x1b[2J"}).isprintable()
