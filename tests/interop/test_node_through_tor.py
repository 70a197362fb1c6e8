"""The node behind a private Tor network: seeding by RESOLVE, and peers by address, by name and as onion services."""

from __future__ import annotations

import random
import secrets
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from tests.interop.tor_network import TorNetwork
from tests.node.running import running
from ziggurat.node.connection_handler import ConnectionHandler, proxy_layer
from ziggurat.node.outbound.seeding import Seeders
from ziggurat.node.testing import KaspaPeer
from ziggurat.services import ConnectError

pytestmark = [pytest.mark.real_io, pytest.mark.asyncio_only]


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
    """By its control port alone: the SOCKS port is Tor's word. A second node finds it by name, twice."""
    lines = "SocksPort {address}:9050 ExtendedErrors\nCookieAuthentication 1\n"
    names = set[str]()
    with tor.another("node", lines) as process:
        flags = (
            "--tor-control",
            f"unix:{process.folder}/control",
            "--tor-cookie",
            process.folder / "control_auth_cookie",
        )
        for run in ("one", "two"):
            async with running(
                *("-b", tmp_path / "node", *flags, "--listen-onion", "--onion-bind", "127.0.0.1:0", "--outpeers=0")
            ) as node:
                up = await node.wait_for("tor.up")
                assert up["via"] == f"{process.address}:9050"
                published = await node.wait_for("onion.published")
                names.add(str(published["onion"]))
                connect = ("--socks5-proxy", tor.proxy, "--connect", published["onion"])
                async with running("-b", tmp_path / run, *connect) as other:
                    await other.wait_for("peer.connected", peer=published["onion"])
                    inbound = await node.wait_for("peer.connected", direction="inbound")
                    assert await other.stop() == 0
                assert await node.stop() == 0
            assert inbound["via"] == "onion"
            assert node.other == []

    assert len(names) == 1


async def test_a_node_whose_tor_dies_says_so_once_and_takes_the_new_one(tor: TorNetwork, tmp_path: Path) -> None:
    lines = "SocksPort {address}:9050 ExtendedErrors\n"
    with tor.another("dies", lines) as first:
        flags = ("--tor-control", f"unix:{first.folder}/control", "--outpeers=0")
        async with running("-b", tmp_path, *flags) as node:
            await node.wait_for("tor.up", via=f"{first.address}:9050")
            first.process.kill()
            await anyio.to_thread.run_sync(first.process.wait)
            await node.wait_for("tor.down", level="warning")
            with tor.another("dies", lines) as again:
                await node.wait_for("tor.up", via=f"{again.address}:9050")
                assert await node.stop() == 0

    assert len([each for each in node.events if each["event"] == "tor.down" and each["level"] == "warning"]) == 1
    assert node.other == []
