"""``ziggurat node`` as a process, against the embedded peer."""

from __future__ import annotations

import errno
import json
import signal
import socket
import time
from pathlib import Path
from typing import cast

import anyio
import anyio.to_thread
import pytest
from anyio.abc import ByteStream

from tests.node.running import AUDITED_COMMAND, run, running
from ziggurat.layers.testing import Socks5Server
from ziggurat.node.address import NetAddress
from ziggurat.node.cli.command import main
from ziggurat.node.config.networks import numbered_testnet
from ziggurat.node.testing import KaspaPeer
from ziggurat.services import ConnectError, OnionAddress, Uri

pytestmark = [pytest.mark.slow, pytest.mark.asyncio_only, pytest.mark.real_io]

LOOPBACK = "127.0.0.1:0"


async def test_a_node_starts_connects_answers_and_stops_within_five_seconds(tmp_path: Path) -> None:
    peer = KaspaPeer(addresses=[NetAddress.parse("192.0.2.10:16611")])
    async with (
        peer.run(),
        peer.listen() as address,
        running("-b", tmp_path, "--listen", LOOPBACK, "--outpeers=0", f"--addpeer={address}") as node,
    ):
        started = await node.wait_for("node.started")
        connected = await node.wait_for("peer.connected")
        await node.wait_for("addresses.stored", count=1)
        answer = await anyio.to_thread.run_sync(run, "peers", "--devnet", "-b", tmp_path)
        asked = await anyio.to_thread.run_sync(run, "peers", "--devnet", "-b", tmp_path, "--json")
        before = time.monotonic()
        code = await node.stop()
        took = time.monotonic() - before
        await peer.sessions[0].closed.wait()

    assert (code, took < 5) == (0, True)
    assert started["network"] == "kaspa-devnet"
    assert str(started["listen"]).startswith("127.0.0.1:")
    assert connected["direction"] == "outbound"
    assert connected["user_agent"] == peer.user_agent
    assert answer.returncode == 0
    assert answer.stdout.splitlines()[1].split()[:3] == ["out", str(address), "direct"]
    assert json.loads(asked.stdout)["peers"][0]["address"] == str(address)
    assert [event["event"] for event in node.events][-1] == "node.stopped"
    assert node.other == []
    assert "node.stopping" in [event["event"] for event in node.events]


async def test_an_inbound_peer_is_disconnected_when_the_node_stops(tmp_path: Path) -> None:
    peer = KaspaPeer()
    async with (
        peer.run(),
        running(
            *("-b", tmp_path, "--listen", LOOPBACK, "--outpeers=0", "--nologfiles", "--externalip=127.0.0.1")
        ) as node,
    ):
        started = await node.wait_for("node.started")
        await node.wait_for("externalip.ignored", address="127.0.0.1", reason="others could not reach it")
        session = await peer.dial(NetAddress.parse(str(started["listen"])))
        await node.wait_for("peer.connected", direction="inbound")
        assert await node.stop(signal.SIGINT) == 0
        with anyio.fail_after(5):
            await session.closed.wait()

    assert not (tmp_path / "kaspa-devnet" / "logs").exists()


async def test_a_ban_drops_a_peer_and_keeps_it_out_after_a_restart(tmp_path: Path) -> None:
    peer = KaspaPeer()
    arguments = ("-b", tmp_path, "--listen", LOOPBACK, "--outpeers=0", "--nologfiles", "--ban=192.0.2.0/24")
    async with peer.run():
        async with running(*arguments) as node:
            started = await node.wait_for("node.started")
            await peer.dial(NetAddress.parse(str(started["listen"])))
            await node.wait_for("peer.connected", direction="inbound")
            command = ["ban", "--devnet", "-b", str(tmp_path), "127.0.0.1", "--for", "1h"]
            assert await anyio.to_thread.run_sync(main, command) == 0
            await node.wait_for("peer.disconnected", reason="127.0.0.1 is banned")
            node.process.kill()
        async with running(*arguments) as node:
            started = await node.wait_for("node.started")
            with pytest.raises(ConnectError):
                await peer.dial(NetAddress.parse(str(started["listen"])))
            await node.wait_for("peer.refused", reason="127.0.0.1 is banned")
            loaded = await node.wait_for("bans.loaded")
            assert await node.stop() == 0

    assert loaded["count"] == 1
    assert (tmp_path / "kaspa-devnet" / "bans.json").stat().st_mode & 0o777 == 0o600


async def test_with_a_proxy_it_dials_through_it_and_does_not_listen(tmp_path: Path) -> None:
    peer = KaspaPeer()
    proxy = Socks5Server()
    async with (
        peer.run(),
        peer.listen() as address,
        proxy.serve() as at,
        running(
            "-b", tmp_path, f"--proxy={at.authority}", f"--connect={address}", "--outpeers=1", ALL_PROXY="x"
        ) as node,
    ):
        started = await node.wait_for("node.started")
        connected = await node.wait_for("peer.connected")
        code = await node.stop()

    assert code == 0
    assert started["listen"] is None
    assert connected["via"] == at.authority
    assert proxy.requests[0].host == "127.0.0.1"
    ignored = [event for event in node.events if event["event"] == "environment.ignored"]
    assert [event["names"] for event in ignored] == [["ALL_PROXY"]]
    (ineffective,) = (event for event in node.events if event["event"] == "settings.ineffective")
    assert str(ineffective["reason"]).startswith("outpeers (--outpeers) has no effect beside connect")


async def test_a_second_node_in_the_same_directory_names_the_pid_of_the_first_and_exits_with_1(tmp_path: Path) -> None:
    async with running("-b", tmp_path, "--listen", LOOPBACK, "--outpeers=0") as node:
        await node.wait_for("node.started")
        second = await anyio.to_thread.run_sync(run, "node", "--devnet", "-b", tmp_path, "--outpeers=0")
        assert await node.stop() == 0

    assert second.returncode == 1
    assert second.stderr.strip().endswith(f"is in use by pid {node.process.pid}")
    assert second.stderr.count("\n") == 1


async def test_stored_addresses_survive_a_kill(tmp_path: Path) -> None:
    peer = KaspaPeer(addresses=[NetAddress.parse(f"192.0.2.{n}:16611") for n in range(1, 6)])
    arguments = ("-b", tmp_path, "--maxinpeers=0", "--outpeers=0")
    async with peer.run(), peer.listen() as address:
        async with running(*arguments, f"--addpeer={address}") as node:
            await node.wait_for("addresses.stored", count=5)
            node.process.kill()
        async with running(*arguments) as node:
            loaded = await node.wait_for("addresses.loaded")
            assert await node.stop() == 0

    assert loaded["count"] == 5


async def test_the_service_manager_is_notified(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        async with running(
            *("-b", tmp_path, "--maxinpeers=0", "--outpeers=0"), NOTIFY_SOCKET=str(tmp_path / "notify")
        ) as node:
            assert await anyio.to_thread.run_sync(manager.recv, 100) == b"READY=1"
            assert await node.stop() == 0
            assert await anyio.to_thread.run_sync(manager.recv, 100) == b"STOPPING=1"


def test_a_port_in_use_prints_one_line_and_exits_with_1(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = run("node", "--devnet", "-b", tmp_path, "--listen", address, "--outpeers=0")

    assert done.returncode == 1
    assert f"cannot listen on {address}" in done.stderr
    assert "choose another address with --listen\n" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_port_of_the_onion_service_in_use_names_its_own_setting(tmp_path: Path) -> None:
    """bitcoin/bitcoin#31133, #22668: two nodes on one machine. To choose another --listen would not help."""
    pytest.importorskip("aiostem", reason="extra tor")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        options = ("--tor-control", "127.0.0.1:1", "--listen-onion", "--onion-bind", address)
        done = run("node", "--devnet", "-b", tmp_path, *options, "--outpeers=0")

    assert done.returncode == 1
    assert f"cannot listen on {address}" in done.stderr
    assert "; --onion-bind names another place" in done.stderr


def test_a_directory_that_cannot_be_created_prints_one_line_and_exits_with_1(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("node", "--devnet", "-b", tmp_path / "file" / "below", "--outpeers=0", "--nologfiles")

    assert done.returncode == 1
    assert str(tmp_path / "file") in done.stderr
    assert "Traceback" not in done.stderr


async def test_with_a_proxy_it_dials_only_the_proxy_and_resolves_no_names(tmp_path: Path) -> None:
    """On a network with seeders, with peers of each kind: an IP, loopback, a name and an onion service."""
    peers = ("192.0.2.1:5", "127.0.0.1:5", "node.example:5", f"{OnionAddress(bytes(32))}:5")

    async def refuse(uri: Uri) -> ByteStream:
        raise ConnectionRefusedError(errno.ECONNREFUSED, "no")

    proxy = Socks5Server(connector=refuse)
    async with (
        proxy.serve() as at,
        running(
            *("-b", tmp_path, f"--socks5-proxy={at.authority}", *(f"--addpeer={peer}" for peer in peers)),
            command=AUDITED_COMMAND,
            network="--testnet",
        ) as node,
    ):
        for peer in peers:
            await node.wait_for("dial.failed", target=f"http://{peer}")
        for seeder in numbered_testnet(10).seeders:
            await node.wait_for("dial.failed", target=f"http://{seeder}:16211")
        assert await node.stop() == 0
    audited = {
        (event["event"], what)
        for event in node.events
        if str(event["event"]).startswith("audit.")
        for what in cast(list[str], event["what"])
    }

    # A socket's path that is too long is bound through a descriptor of its directory: only the name is the same.
    assert {(event, what.rpartition("/")[2]) for event, what in audited} == {
        ("audit.socket.connect", str((at.host, at.port))),
        ("audit.socket.bind", "control.sock"),
    }
    assert {request.host for request in proxy.requests} >= {*numbered_testnet(10).seeders, "127.0.0.1", "node.example"}
