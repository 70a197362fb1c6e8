"""A real kaspad and our node, each reached by the other as an onion service, on a private Tor network."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from tests.interop.kaspad import kaspad_program, starting
from tests.interop.test_node_through_tor import control_flags
from tests.interop.tor_network import TorNetwork
from tests.node.running import COMMAND, EVENT_TIMEOUT, environment, run, running

pytestmark = [pytest.mark.real_io, pytest.mark.asyncio_only]


@asynccontextmanager
async def forwarded(proxy: str, target: object) -> AsyncGenerator[str, None]:
    """Run ``ziggurat forward`` to a target behind a proxy; yields where it listens. kaspad itself knows no proxies."""
    argv = [*COMMAND, "forward", "127.0.0.1:0", str(target), "--proxy", f"socks5://{proxy}"]
    async with await anyio.open_process(argv, env=environment(), cwd="/") as process:
        try:
            assert process.stdout is not None
            with anyio.fail_after(EVENT_TIMEOUT):
                said = b""
                while (found := re.search(rb"listening on (\S+)\n", said)) is None:
                    said += await process.stdout.receive()
            yield found[1].decode()
        finally:
            process.terminate()
            with anyio.CancelScope(shield=True):
                await process.wait()


async def test_kaspad_behind_an_onion_is_a_peer_of_our_node(
    tor: TorNetwork, new_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    kaspad_program()
    with starting(new_folder) as kaspad:
        onion = await anyio.to_thread.run_sync(tor.host.add_onion, kaspad.address.port, str(kaspad.address))
        peer = f"{onion}:{kaspad.address.port}"
        async with running("-b", tmp_path, "--socks5-proxy", tor.proxy, "--connect", peer) as node:
            connected = await node.wait_for("peer.connected", peer=peer)
            probed = await anyio.to_thread.run_sync(run, "probe", "--devnet", "--socks5-proxy", tor.proxy, peer)
            assert await node.stop() == 0
        warnings = kaspad.warnings()

    assert (connected["via"], connected["direction"]) == (tor.proxy, "outbound")
    assert "/kaspad:" in str(connected["user_agent"])
    assert probed.returncode == 0, probed.stdout + probed.stderr
    assert node.other == []
    assert warnings == []


async def test_our_node_behind_an_onion_is_a_peer_of_kaspad(
    tor: TorNetwork, new_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    kaspad_program()
    with tor.another("kaspad-peer", "SocksPort {address}:9050 ExtendedErrors\n") as process:
        flags = (*control_flags(process), "--listen-onion", "--onion-bind", "127.0.0.1:0", "--outpeers=0")
        async with running("-b", tmp_path, *flags) as node:
            published = await node.wait_for("onion.published")
            async with forwarded(tor.proxy, published["onion"]) as ours:
                with starting(new_folder, f"--addpeer={ours}") as kaspad:
                    connected = await node.wait_for("peer.connected", direction="inbound")
                    asked = await anyio.to_thread.run_sync(run, "peers", "--devnet", "-b", tmp_path)
                    warnings = kaspad.warnings()
            gone = await node.wait_for("peer.disconnected")
            assert await node.stop() == 0

    assert connected["via"] == "onion"
    assert "/kaspad:" in str(connected["user_agent"])
    assert asked.stdout.splitlines()[1].startswith("in "), asked.stdout  # below the header
    assert gone["peer"] == connected["peer"]
    assert node.other == []
    assert warnings == []
