"""``ziggurat node`` as a process, and a real kaspad, each dialling the other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from tests.interop.programs import loopback_address
from tests.interop.test_kaspad_node import starting
from tests.node.running import run, running
from ziggurat.layers.testing import Socks5Server

pytestmark = [pytest.mark.real_io, pytest.mark.asyncio_only]

NEVER = "--outpeers=0"


async def test_each_dials_the_other_and_kaspad_has_nothing_to_complain_of(
    new_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    ours = f"{loopback_address()}:16611"
    async with running("-b", tmp_path, "--listen", ours, NEVER) as node:
        await node.wait_for("node.started", listen=ours)
        with starting(new_folder, f"--addpeer={ours}") as kaspad:
            inbound = await node.wait_for("peer.connected", direction="inbound")
            probed = await anyio.to_thread.run_sync(run, "probe", "--devnet", kaspad.address)
            asked = await anyio.to_thread.run_sync(run, "peers", "--devnet", "-b", tmp_path)
            assert await node.stop() == 0
            warnings = kaspad.warnings()

    assert "/kaspad:" in str(inbound["user_agent"])
    assert probed.returncode == 0, probed.stdout
    assert asked.stdout.startswith("inbound ")
    assert warnings == []


async def test_a_proxied_node_stays_with_kaspad_through_the_proxy(
    new_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    proxy = Socks5Server()
    with starting(new_folder) as kaspad:
        async with (
            proxy.serve() as at,
            running("-b", tmp_path, f"--proxy={at.authority}", f"--connect={kaspad.address}") as node,
        ):
            connected = await node.wait_for("peer.connected", direction="outbound")
            assert await node.stop() == 0
        warnings = kaspad.warnings()

    assert connected["via"] == at.authority
    assert [request.host for request in proxy.requests] == [str(kaspad.address.ip)]
    assert warnings == []


async def test_a_kaspad_that_was_killed_is_gone_with_a_reason(
    new_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    with starting(new_folder) as kaspad:
        async with running("-b", tmp_path, "--maxinpeers=0", NEVER, f"--addpeer={kaspad.address}") as node:
            await node.wait_for("peer.connected")
            kaspad.process.kill()
            gone = await node.wait_for("peer.disconnected")
            assert await node.stop() == 0

    assert gone["reason"]
