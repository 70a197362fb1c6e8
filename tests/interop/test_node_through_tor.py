"""The node behind a private Tor network: seeding by RESOLVE, and peers by address, by name and as onion services."""

from __future__ import annotations

import random
import re
import secrets
from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from tests.interop.tor_control import Control
from tests.interop.tor_network import TorNetwork, TorProcess
from tests.node.running import AUDITED_COMMAND, EVENT_TIMEOUT, RunningNode, running
from ziggurat.node.connection_handler import ConnectionHandler, proxy_layer
from ziggurat.node.outbound.seeding import Seeders
from ziggurat.node.testing import KaspaPeer
from ziggurat.services import ConnectError

pytestmark = [pytest.mark.real_io, pytest.mark.asyncio_only]


SOCKS = "SocksPort {address}:9050 ExtendedErrors\n"


def control_flags(process: TorProcess) -> tuple[str, ...]:
    return ("--tor-control", f"unix:{process.folder}/control")


async def until(true: Callable[[], bool]) -> None:
    with anyio.fail_after(EVENT_TIMEOUT):
        while not true():  # noqa: ASYNC110  (Tor has no event for it, or the node has said the same before)
            await anyio.sleep(0.05)


def name(below: str = "v4.test") -> str:
    return f"{secrets.token_hex(4)}.{below}"  # a new name each time, since exits cache


async def test_an_exit_looks_up_a_seed(tor: TorNetwork) -> None:
    handler, seed = ConnectionHandler(proxy_layer(tor.proxy)), name()

    assert await handler.resolve(seed) == ["127.0.0.1"]
    assert seed in tor.asked


async def test_a_seed_with_only_an_ipv6_address(tor: TorNetwork) -> None:
    assert await ConnectionHandler(proxy_layer(tor.proxy)).resolve(name("v6.test")) == ["::1"]


async def test_an_unknown_seed(tor: TorNetwork) -> None:
    with pytest.raises(ConnectError) as caught:
        await ConnectionHandler(proxy_layer(tor.proxy)).resolve("nobody.test")

    assert "proxy.resolve via " in str(caught.value)
    assert "0x04" in str(caught.value)


async def test_seeders_are_asked_through_tor(tor: TorNetwork) -> None:
    handler, seeds = ConnectionHandler(proxy_layer(tor.proxy)), [name(), "nobody.test", name()]

    found = await Seeders(seeds, 16111, handler.resolve, random.Random(1)).ask(missing=8, target=8)
    assert found is not None

    assert [str(address) for address in found.addresses] == ["127.0.0.1:16111"] * 2
    assert [str(address) for address in found.names] == ["nobody.test:16111"]


@pytest.mark.parametrize("target", ["onion", "name", "address"])
async def test_a_node_stays_connected_through_tor(target: str, tor: TorNetwork, tmp_path: Path) -> None:
    async with KaspaPeer(ping_interval=0.5).run() as peer, peer.listen() as address:
        host = "127.0.0.1"
        if target == "onion":
            host = tor.host.add_onion(address.port, f"127.0.0.1:{address.port}")
        elif target == "name":
            host = name()
        connect = f"{host}:{address.port}"
        async with running("-b", tmp_path, "--socks5-proxy", tor.proxy, "--connect", connect) as node:
            connected = await node.wait_for("peer.connected", peer=connect)
            with anyio.fail_after(20):
                while not peer.sessions[0].pongs >= 3:  # noqa: ASYNC110
                    await anyio.sleep(0.1)
            assert await node.stop() == 0

    assert connected["via"] == tor.proxy
    assert node.other == []


async def test_a_node_is_reached_by_its_onion_and_keeps_the_name(tor: TorNetwork, tmp_path: Path) -> None:
    """By its control port alone: the SOCKS port is Tor's word. A second node finds it by name, twice.

    With ``--onlynet onion`` too, which no proxy serves at the start (line 18 of Bitcoin Core's test of proxies).
    """
    names = set[str]()
    with tor.another("node", f"{SOCKS}CookieAuthentication 1\n") as process:
        flags = (*control_flags(process), "--tor-cookie", process.folder / "control_auth_cookie", "--onlynet", "onion")
        for run in ("one", "two"):
            async with running(
                *("-b", tmp_path / "node", *flags, "--listen-onion", "--onion-bind", "127.0.0.1:0", "--outpeers=0")
            ) as node:
                up = await node.wait_for("tor.up")
                assert up["via"] == f"{process.address}:9050"
                published = await node.wait_for("onion.published")
                names.add(str(published["onion"]))
                inbound = await visit(tor, node, tmp_path / run)
                assert await node.stop() == 0
            assert inbound["via"] == "onion"
            assert node.other == []

    assert len(names) == 1


async def visit(tor: TorNetwork, node: RunningNode, folder: Path) -> dict[str, object]:
    """Let another node connect to the onion that the node has published last; return what the node says about it."""
    onion = [each["onion"] for each in node.events if each["event"] == "onion.published"][-1]
    async with running("-b", folder, "--socks5-proxy", tor.proxy, "--connect", onion) as other:
        await other.wait_for("peer.connected", peer=onion)
        inbound = await node.wait_for("peer.connected", direction="inbound")
        assert await other.stop() == 0
    return inbound


async def test_a_node_whose_tor_dies_says_so_once_and_is_published_by_the_new_one(
    tor: TorNetwork, tmp_path: Path
) -> None:
    with tor.another("dies", SOCKS) as first:
        flags = (*control_flags(first), "--listen-onion", "--onion-bind", "127.0.0.1:0", "--outpeers=0")
        async with running("-b", tmp_path / "node", *flags) as node:
            await node.wait_for("tor.up", via=f"{first.address}:9050")
            published = await node.wait_for("onion.published")
            first.process.kill()
            await anyio.to_thread.run_sync(first.process.wait)
            await node.wait_for("tor.down", level="warning")
            await node.wait_for("onion.withdrawn", onion=published["onion"])
            told = len(node.events)
            with tor.another("dies", SOCKS) as again:
                await node.wait_for("tor.up", via=f"{again.address}:9050")
                await until(lambda: any(each["event"] == "onion.published" for each in node.events[told:]))
                inbound = await visit(tor, node, tmp_path / "visitor")
                assert await node.stop() == 0

    assert inbound["via"] == "onion"
    assert {each["onion"] for each in node.events if each["event"] == "onion.published"} == {published["onion"]}
    assert len([each for each in node.events if each["event"] == "tor.down" and each["level"] == "warning"]) == 1
    assert node.other == []


async def test_a_node_whose_tor_has_no_network_waits_and_says_so_once(tor: TorNetwork, tmp_path: Path) -> None:
    """Tor's own way out is a dead proxy, until it is taken away."""
    async with KaspaPeer().run() as peer, peer.listen() as address:
        with tor.another("no-network", f"{SOCKS}Socks5Proxy 127.0.0.1:1\n") as process:
            flags = (*control_flags(process), "--nodnsseed", f"--addpeer={address}")
            with Control(process.folder / "control") as control:
                async with running("-b", tmp_path, *flags, command=AUDITED_COMMAND) as node:
                    await node.wait_for("tor.bootstrap", level="warning")
                    await until(lambda: attempts(control) >= 3)
                    assert happened(node, "tor.up", "dial.started") == []
                    control.ask("RESETCONF Socks5Proxy")
                    await node.wait_for("tor.up")
                    connected = await node.wait_for("peer.connected")
                    assert await node.stop() == 0

    hindered = [each["error"] for each in happened(node, "tor.bootstrap") if each["level"] == "warning"]
    assert hindered == ["Connection refused"]
    assert connected["via"] == f"{process.address}:9050"
    contacted = {str(each["what"]) for each in node.events if each["event"] == "audit.socket.connect"}
    assert contacted == {str([f"{process.folder}/control"]), str([str((process.address, 9050))])}
    assert happened(node, "audit.socket.getaddrinfo") == []
    assert node.other == []


def attempts(control: Control) -> int:
    """How often Tor has failed in this step of its start."""
    found = re.search(r"\bCOUNT=(\d+)", control.info("status/bootstrap-phase")[0])
    return 0 if found is None else int(found[1])


def happened(node: RunningNode, *events: str) -> list[dict[str, object]]:
    return [each for each in node.events if each["event"] in events]
