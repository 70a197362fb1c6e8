"""``ziggurat node`` as a process, with a real kaspad and with the embedded peer."""

from __future__ import annotations

import re
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from tests.interop.kaspad import kaspad_program, starting
from tests.interop.programs import find, loopback_address
from tests.node.running import run, running
from ziggurat.layers.testing import Socks5Server
from ziggurat.node.address import NetAddress
from ziggurat.node.testing import KaspaPeer

pytestmark = [pytest.mark.real_io, pytest.mark.asyncio_only]

NEVER = "--outpeers=0"


async def test_each_dials_the_other_and_kaspad_logs_no_warning(
    new_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    kaspad_program()
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
    assert asked.stdout.splitlines()[1].startswith("in ")  # below the header
    assert warnings == []


@asynccontextmanager
async def embedded(new_folder: Callable[[str], Path]) -> AsyncIterator[NetAddress]:
    peer = KaspaPeer()
    async with peer.run(), peer.listen() as address:
        yield address


@asynccontextmanager
async def real(new_folder: Callable[[str], Path]) -> AsyncIterator[NetAddress]:
    with starting(new_folder) as kaspad:
        yield kaspad.address
        assert kaspad.warnings() == []


def sockets(pid: int, *options: str) -> set[tuple[str, str]]:
    """Return the local and remote address of each socket of a process, from ``ss``."""
    shown = subprocess.run([find("ss", "iproute2"), "-Hnp", *options], capture_output=True, text=True, check=True)
    lines = [line.split() for line in shown.stdout.splitlines() if re.search(rf"\bpid={pid}\b", line)]
    return {(words[-3], words[-2]) for words in lines}


@pytest.mark.parametrize("peer", [embedded, real], ids=["the embedded peer", "kaspad"])
async def test_a_node_with_a_proxy_has_sockets_to_the_proxy_only(
    peer: Callable[[Callable[[str], Path]], AsyncIterator[NetAddress]],
    new_folder: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    find("ss", "iproute2")
    if peer is real:
        kaspad_program()
    proxy = Socks5Server()
    async with (
        peer(new_folder) as address,  # type: ignore[attr-defined]
        proxy.serve() as at,
        running(
            *("-b", tmp_path, f"--proxy={at.authority}", f"--addpeer={address}", "--addpeer=nowhere.invalid")
        ) as node,
    ):
        connected = await node.wait_for("peer.connected", direction="outbound")
        await node.wait_for("dial.failed", target="http://nowhere.invalid:16611")
        pid = node.process.pid
        tcp, udp, listening = sockets(pid, "-t"), sockets(pid, "-u", "-a"), sockets(pid, "-t", "-l")
        assert await node.stop() == 0

    assert connected["via"] == at.authority
    assert {remote for _, remote in tcp} == {at.authority}
    assert udp == set()
    assert listening == set()
    assert {request.host for request in proxy.requests} == {str(address.ip), "nowhere.invalid"}


async def test_ss_shows_the_sockets_of_a_node_that_dials_directly(tmp_path: Path) -> None:
    """Check the method of the last test: it must be able to fail."""
    peer = KaspaPeer()
    async with (
        peer.run(),
        peer.listen() as address,
        running("-b", tmp_path, "--listen", f"{loopback_address()}:0", f"--addpeer={address}", NEVER) as node,
    ):
        started = await node.wait_for("node.started")
        await node.wait_for("peer.connected")
        pid = node.process.pid
        assert {remote for _, remote in sockets(pid, "-t")} == {str(address)}
        assert {local for local, _ in sockets(pid, "-t", "-l")} == {started["listen"]}
        assert await node.stop() == 0
