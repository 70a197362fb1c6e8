"""``ziggurat ban``, ``unban`` and ``banned``: against a control socket, and without one."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio.to_thread
import pytest

from ziggurat.node.address import parse_peer_address
from ziggurat.node.address_manager import AddressManager
from ziggurat.node.cli.command import main
from ziggurat.node.cli.commands.bans import ban_cells
from ziggurat.node.config.networks import DEVNET
from ziggurat.node.config.settings import Settings
from ziggurat.node.daemon.control import serve_control
from ziggurat.node.daemon.requests import NodeRequests
from ziggurat.node.ip_network import parse_network
from ziggurat.node.p2p_service import P2pService

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def run_command(command: str, *arguments: str) -> tuple[int, str, str]:
        try:
            code = main([command, "--devnet", "--appdir", str(tmp_path), *arguments])
        except SystemExit as error:
            code = int(str(error.code))
        out, err = capsys.readouterr()
        # Here the node logs to the same stderr.
        return code, out, "".join(line for line in err.splitlines(keepends=True) if not line.startswith("{"))

    return run_command


@asynccontextmanager
async def serving(appdir: Path, settings: Settings | None = None) -> AsyncIterator[None]:
    """A node that is reached through its control socket only."""
    settings = settings or Settings(appdir=appdir, network=DEVNET)
    (appdir / "kaspa-devnet").mkdir()
    requests = NodeRequests(P2pService(settings, AddressManager()))
    async with serve_control(settings.directory, requests.questions, requests.commands):
        yield


@pytest.mark.asyncio_only
@pytest.mark.real_io
async def test_a_ban_is_listed_until_it_is_lifted(tmp_path: Path, run: Run) -> None:
    async def ran(*arguments: str) -> tuple[int, str, str]:
        return await anyio.to_thread.run_sync(lambda: run(*arguments))

    async with serving(tmp_path):
        assert await ran("banned") == (0, "nothing is banned on kaspa-devnet\n", "")
        code, out, err = await ran("ban", "2001:DB8::7", "--for", "2d")
        assert (code, err) == (0, "")
        assert out.startswith("banned 2001:db8::7 until 20")
        assert await ran("ban", "agent:*/Bad:*", "--for=forever") == (
            0,
            "banned agent:*/bad:* until it is unbanned\n",
            "",
        )
        code, out, _ = await ran("banned")
        header, first, second = out.splitlines()
        assert header.split() == ["banned", "until", "left", "by"]
        assert (first.split()[0], first.split()[-1]) == ("2001:db8::7", "command")
        assert second.split() == ["agent:*/bad:*", "forever", "command"]
        code, out, _ = await ran("banned", "--json")
        shown = json.loads(out)
        assert [(ban["what"], ban["by"]) for ban in shown["bans"]] == [
            ("2001:db8::7", "command"),
            ("agent:*/bad:*", "command"),
        ]
        assert shown["schema"] == 1
        assert await ran("unban", "2001:db8::7") == (0, "unbanned 2001:db8::7\n", "")
        assert await ran("unban", "2001:db8::7") == (
            *(1, ""),
            "ziggurat unban: 2001:db8::7 is not banned\n",
        )


@pytest.mark.asyncio_only
@pytest.mark.real_io
async def test_what_stands_in_the_way_of_an_unban_or_a_ban_is_said(tmp_path: Path, run: Run) -> None:
    async def ran(*arguments: str) -> tuple[int, str, str]:
        return await anyio.to_thread.run_sync(lambda: run(*arguments))

    settings = replace(
        Settings(appdir=tmp_path, network=DEVNET),
        ban=(parse_network("192.0.2.0/24"),),
        addpeer=(parse_peer_address("198.51.100.7:1"),),
    )
    async with serving(tmp_path, settings):
        assert (await ran("unban", "192.0.2.7"))[2] == (
            "ziggurat unban: 192.0.2.7 is not banned itself, but these overlap it: 192.0.2.0/24 (by the settings)\n"
        )
        assert await ran("unban", "192.0.2.0/24") == (
            *(1, ""),
            "ziggurat unban: 192.0.2.0/24 is banned by the settings: remove it there (--ban)\n",
        )
        await ran("ban", "192.0.2.7", "--for", "forever")
        assert (await ran("unban", "192.0.2.7"))[1] == (
            "unbanned 192.0.2.7; these bans overlap it: 192.0.2.0/24 (by the settings)\n"
        )
        assert await ran("ban", "198.51.100.7") == (
            *(2, ""),
            "ziggurat ban: 198.51.100.7 is a peer of --addpeer or --connect: remove it there first\n",
        )
        code, _, err = await ran("ban", "198.51.100.0/24")
        assert (code, err) == (0, "ziggurat ban: 198.51.100.7 is exempt: --addpeer or --connect names it\n")


@pytest.mark.parametrize("command", [("ban", "192.0.2.7"), ("unban", "192.0.2.7"), ("banned",)])
def test_without_a_running_node_it_prints_an_error_and_exits_with_1(
    tmp_path: Path, run: Run, command: tuple[str, ...]
) -> None:
    code, out, err = run(*command)

    assert (code, out) == (1, "")
    assert err.startswith(f"ziggurat {command[0]}: no node is running in {tmp_path}/kaspa-devnet")


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        (("ban", "192.0.2"), "neither an IP address nor a network; expected IP, IP/BITS or agent:PATTERN"),
        (("ban", "/kaspad:0.1*"), "is neither an IP address nor a network"),
        (("ban", "192.0.2.7:16111"), "write 192.0.2.7"),
        (("ban", "10.0.0.1/8"), "write 10.0.0.1 or 10.0.0.0/8"),
        (("ban", "agent:*"), "matches every user agent"),
        (("ban", "192.0.2.7", "--for", "1y"), "'1y' is not a number with s, m, h, d or w"),
        (("ban", "192.0.2.7", "--for", ""), "'' is not a number with s, m, h, d or w"),
        (("unban", "192.0.2"), "is neither an IP address nor a network"),
        (("ban",), "required: WHAT"),
        (("unban",), "required: WHAT"),
        (("banned", "192.0.2.7"), "unexpected argument"),
    ],
)
def test_bad_arguments_print_one_error_and_exit_with_2(run: Run, command: tuple[str, ...], complaint: str) -> None:
    code, out, err = run(*command)

    assert (code, out) == (2, "")
    assert complaint in err


@pytest.mark.parametrize(
    ("ban", "cells"),
    [
        (
            {"what": "192.0.2.7", "until": "2026-01-01T00:00:00Z", "seconds_left": 5400, "by": "command"},
            ["192.0.2.7", "2026-01-01T00:00:00Z", "1h 30m", "command"],
        ),
        ({"what": "agent:*x*", "until": None, "seconds_left": None, "by": "settings"}, ["agent:*x*", "-", "", "--ban"]),
    ],
)
def test_a_ban_is_one_row(ban: dict[str, object], cells: list[str]) -> None:
    assert ban_cells(ban) == cells
