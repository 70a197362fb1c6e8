"""What ``ziggurat peers`` says of circuits, compared with what a real Tor says of them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest

from tests.interop.tor_network import TorNetwork
from tests.node.running import RunningNode, run, running
from ziggurat.node.testing import KaspaPeer

pytestmark = [pytest.mark.real_io, pytest.mark.asyncio_only]


async def peers(*arguments: object) -> str:
    """Return what the command prints."""
    done = await anyio.to_thread.run_sync(partial(run, "peers", "--devnet", *arguments))
    assert done.returncode == 0, done.stderr
    return done.stdout


def control(tor: TorNetwork) -> str:
    """The control socket of the client, which is beside its SOCKS socket."""
    return f"{tor.unix_proxy.removesuffix('/socks')}/control"


def circuits(tor: TorNetwork) -> tuple[dict[str, list[str]], set[str]]:
    """Return what Tor says: the fingerprints of each circuit's relays, and all credentials."""
    lines = tor.client.info("circuit-status")
    paths = {line.split()[0]: re.findall(r"\$([0-9A-F]{40})~", line) for line in lines}
    return paths, {value for line in lines for value in re.findall(r'SOCKS_(?:USERNAME|PASSWORD)="(\w+)"', line)}


async def connected(
    tor: TorNetwork, stack: AsyncExitStack, *flags: object, kinds: Sequence[bool]
) -> tuple[RunningNode, dict[str, int]]:
    """Run a node with a peer of each kind, onion services or behind an exit; return it, and the ports by peer."""
    ports: dict[str, int] = {}
    for onion in kinds:
        peer = await stack.enter_async_context(KaspaPeer().run())
        port = (await stack.enter_async_context(peer.listen())).port
        host = "127.0.0.1"
        if onion:
            host = await anyio.to_thread.run_sync(tor.host.add_onion, port, f"127.0.0.1:{port}")
        ports[f"{host}:{port}"] = port
    targets = [part for target in ports for part in ("--addpeer", target)]
    node = await stack.enter_async_context(running("--nodnsseed", "--outpeers=0", *flags, *targets))
    for target in ports:
        await node.wait_for("peer.connected", peer=target)
    return node, ports


async def test_two_peers_have_the_two_circuits_that_tor_says(tor: TorNetwork, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        flags = ("-b", tmp_path, "--socks5-proxy", tor.proxy, "--tor-control", control(tor))
        node, ports = await connected(tor, stack, *flags, kinds=[False, True])
        shown: dict[str, dict[str, Any]] = {
            peer["address"]: peer for peer in json.loads(await peers("-b", tmp_path, "--json"))["peers"]
        }
        table = await peers("-b", tmp_path)
        paths, credentials = circuits(tor)
        on = {target: tor.client.circuits(port) for target, port in ports.items()}
        assert await node.stop() == 0

    assert {target: {peer["circuit"]["id"]} for target, peer in shown.items()} == on
    assert len({peer["circuit"]["id"] for peer in shown.values()}) == 2
    for peer in shown.values():
        path = [relay["fingerprint"] for relay in peer["circuit"]["path"]]
        assert path == paths[peer["circuit"]["id"]]
        assert len(path) >= 3
        assert (peer["isolation"], peer["circuit_unknown"]) == ("dial", None)
        names = ",".join(relay["nickname"] for relay in peer["circuit"]["path"])
        assert f"  {peer['network']}" in table
        assert f"  {peer['circuit']['id']} {names}  " in table
    assert sorted(peer["network"] for peer in shown.values()) == ["ipv4", "onion"]

    written = f"{shown} {table} {node.events} {node.other}"
    assert len(credentials) >= 4  # a name and a password for each of the two
    assert not [each for each in credentials if each in written]
    assert not [each for path in paths.values() for each in path if each in f"{node.events}"]


async def test_on_a_unix_socket_a_circuit_is_not_told(tor: TorNetwork, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        flags = ("-b", tmp_path, "--socks5-proxy", tor.unix_proxy, "--tor-control", control(tor))
        node, _ = await connected(tor, stack, *flags, kinds=[False])
        shown = json.loads(await peers("-b", tmp_path, "--json"))["peers"]
        assert await node.stop() == 0

    assert {(peer["isolation"], peer["circuit"], peer["circuit_unknown"]) for peer in shown} == {
        ("dial", None, "no source port")
    }
