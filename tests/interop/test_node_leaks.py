"""The connections of a node's process, from strace: with a proxy only the proxy, and no resolver."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from tests.interop.programs import find
from tests.interop.traces import Trace, python
from ziggurat.node.testing import KaspaPeer

pytestmark = [pytest.mark.real_io, pytest.mark.asyncio_only]

Traced = Callable[[Sequence[str]], Awaitable[Trace]]

SECONDS = "6"
"""How long the node runs; it dials and seeds immediately."""


def node(folder: Path, *arguments: str) -> list[str]:
    timeout = find("timeout", "coreutils")
    return [timeout, "-s", "TERM", SECONDS, *python("-m", "ziggurat.node", "node", "-b", str(folder), *arguments)]


async def test_a_node_that_seeds_and_dials_contacts_only_the_proxy(
    tmp_path: Path, microsocks: str, traced: Traced
) -> None:
    async with KaspaPeer(network="kaspa-mainnet").run() as peer, peer.listen() as address:
        by_name = f"localhost:{address.port}"
        trace = await traced(node(tmp_path, "--socks5-proxy", microsocks, "--addpeer", by_name))

    assert "connected" in trace.stderr, trace.stderr
    assert "seeder" in trace.stderr
    assert trace.contacted == {microsocks}
    assert trace.looked_up == set()


async def test_a_node_with_a_dead_proxy_contacts_nothing_else(tmp_path: Path, traced: Traced) -> None:
    proxy = "127.0.0.1:1"
    trace = await traced(node(tmp_path, "--socks5-proxy", proxy, "--addpeer", "localhost:16111"))

    assert trace.contacted == {proxy}
    assert trace.looked_up == set()


async def test_a_probe_by_name_contacts_only_the_proxy(microsocks: str, traced: Traced) -> None:
    async with KaspaPeer().run() as peer, peer.listen() as address:
        probe = ["-m", "ziggurat.node", "probe", "--devnet", "--socks5-proxy", microsocks]
        trace = await traced(python(*probe, f"localhost:{address.port}"))

    assert trace.code == 0, trace.stdout + trace.stderr
    assert trace.contacted == {microsocks}
    assert trace.looked_up == set()


async def test_a_leak_of_a_probe_is_detected(traced: Traced) -> None:
    async with KaspaPeer().run() as peer, peer.listen() as address:
        trace = await traced(python("-m", "ziggurat.node", "probe", "--devnet", f"localhost:{address.port}"))

    assert trace.code == 0, trace.stdout + trace.stderr
    assert f"127.0.0.1:{address.port}" in trace.contacted
    assert trace.looked_up
