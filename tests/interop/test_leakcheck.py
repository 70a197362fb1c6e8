"""`ziggurat leakcheck` over the node, on a private Tor network: every packet that it sends elsewhere would be found."""

from __future__ import annotations

import json
import os
import secrets
import select
import signal
import socket
import struct
import subprocess
import threading
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from tests.interop.test_node_through_tor import SOCKS, control_flags
from tests.interop.tor_network import TorNetwork
from tests.layers.leakcheck.namespaces import need_namespaces
from tests.node.running import COMMAND, RunningNode, environment, run
from ziggurat.node.testing import KaspaPeer

pytestmark = [pytest.mark.real_io, pytest.mark.asyncio_only]

PLANTED = """
import socket, sys, threading
def leak():
    places = (socket.gethostbyname, "planted.example"), (socket.create_connection, ("192.0.2.77", 1))
    for function, argument in places:
        try:
            function(argument)
        except OSError:
            pass
    print('{"event": "planted"}', file=sys.stderr, flush=True)
threading.Timer(0.5, leak).start()
from ziggurat.node.cli.command import main
sys.exit(main())
"""


class CheckedNode(RunningNode):
    """A node under a leak check."""

    def __init__(self, process: anyio.abc.Process, report: Path) -> None:
        super().__init__(process)
        self._report = report

    async def result(self) -> tuple[int, dict[str, object]]:
        """Stop the node and return the exit code of the check, and its report."""
        code = await self.stop()
        report: dict[str, object] = json.loads(self._report.read_text())
        return code, report


@asynccontextmanager
async def checked(
    folder: Path, proxy: str, *arguments: object, command: Sequence[str] = COMMAND, control: str | None = None
) -> AsyncGenerator[CheckedNode, None]:
    """Run ``ziggurat node`` under a leak check until the end of an ``async with`` block.

    With ``control``, Tor's control port answers besides the proxy.
    """
    need_namespaces()
    answering = ["--proxy", proxy, *(() if control is None else ("--proxy", control))]
    argv = [*COMMAND, "leakcheck", *answering, "--json", "--", *command, "node", "--log-format", "json"]
    argv += ["-b", str(folder), *map(str, arguments)]
    report = folder / "report"
    with report.open("wb") as out:
        process = await anyio.open_process(argv, env=environment(), stdin=subprocess.DEVNULL, stdout=out, cwd="/")
    async with process:
        node = CheckedNode(process, report)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(node.read)
            try:
                yield node
            finally:
                if process.returncode is None:
                    process.kill()
                    with anyio.CancelScope(shield=True):
                        await process.wait()


async def test_a_node_behind_tor_is_clean_from_start_to_stop(tor: TorNetwork, tmp_path: Path) -> None:
    """Seeds by RESOLVE; peers by address, by name and by onion."""
    async with AsyncExitStack() as stack:
        targets: list[str] = []
        for way in ("address", "name", "onion"):
            peer = await stack.enter_async_context(KaspaPeer(network="kaspa-mainnet").run())
            port = (await stack.enter_async_context(peer.listen())).port
            host = "127.0.0.1" if way == "address" else f"{secrets.token_hex(4)}.v4.test"
            if way == "onion":
                host = tor.host.add_onion(port, f"127.0.0.1:{port}")
            targets.append(f"{host}:{port}")
        peers = [part for target in targets for part in ("--addpeer", target)]
        async with checked(tmp_path, tor.proxy, "--socks5-proxy", tor.proxy, *peers) as node:
            for target in targets:
                await node.wait_for("peer.connected", peer=target)
            await node.wait_for("seeder.failed")
            code, report = await node.result()

    assert report["findings"] == []
    assert (code, report["failure"]) == (0, None), report
    assert report["code"] == 0, "stopped in order"
    await node.wait_for("node.stopped")


async def test_a_node_that_lives_on_tor_is_clean_until_after_the_death_of_tor(tor: TorNetwork, tmp_path: Path) -> None:
    """Tor's control port, seeds, a peer by name, and an onion service that is reached; then Tor is killed."""
    with tor.another("checked", SOCKS) as process:
        (control,) = control_flags(process)[1:]
        async with KaspaPeer(network="kaspa-mainnet").run() as peer, peer.listen() as address:
            target = f"{secrets.token_hex(4)}.v4.test:{address.port}"
            flags = ("--listen-onion", "--onion-bind", f"unix:{tmp_path}/onion", "--addpeer", target)
            proxy = f"{process.address}:9050"
            async with checked(tmp_path, proxy, "--tor-control", control, *flags, control=control) as node:
                up = await node.wait_for("tor.up")
                await node.wait_for("peer.connected", peer=target)
                await node.wait_for("seeder.failed")
                published = await node.wait_for("onion.published")
                onion = published["onion"]
                probed = await anyio.to_thread.run_sync(run, "probe", "--socks5-proxy", tor.proxy, onion)
                inbound = await node.wait_for("peer.connected", direction="inbound")
                process.process.kill()
                await anyio.to_thread.run_sync(process.process.wait)
                await node.wait_for("onion.withdrawn", onion=onion)
                await node.wait_for("peer.disconnected", peer=target)
                code, report = await node.result()

    assert report["findings"] == []
    assert (code, report["failure"]) == (0, None), report
    assert report["code"] == 0, "stopped in order"
    assert up["via"] == proxy
    assert inbound["via"] == "onion"
    assert probed.returncode == 0, probed.stdout + probed.stderr


async def test_a_node_with_a_dead_proxy_goes_nowhere_else(tmp_path: Path) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        proxy = f"127.0.0.1:{bound.getsockname()[1]}"
        async with checked(tmp_path, proxy, "--socks5-proxy", proxy, "--addpeer", "peer.example:16111") as node:
            await node.wait_for("proxy.down")
            code, report = await node.result()

    assert report["findings"] == []
    assert code == 4
    assert str(report["failure"]).startswith("the proxy did not answer (")


@pytest.mark.parametrize("after", [0, 1, 2], ids=["accepted", "greeted", "asked to connect"])
async def test_a_node_whose_proxy_dies_in_mid_dial_goes_nowhere_else(after: int, tmp_path: Path) -> None:
    with dying_proxy(after) as proxy:
        async with checked(tmp_path, proxy, "--socks5-proxy", proxy, "--addpeer", "peer.example:16111") as node:
            await node.wait_for("proxy.down")
            code, report = await node.result()

    assert report["findings"] == []
    assert code == 0, report


@contextmanager
def dying_proxy(after: int) -> Iterator[str]:
    """Run a SOCKS5 proxy that is gone, without a goodbye, when it has got so many messages of its first client."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            first, _ = listener.accept()  # the check's own: whether it is there
            first.close()
            client, _ = listener.accept()
            listener.close()
            with client:
                for answer in (b"\x05\x00", b"")[:after]:
                    client.recv(300)
                    client.sendall(answer)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join(10.0)


async def test_a_planted_leak_is_found(microsocks: str, tmp_path: Path) -> None:
    command = [COMMAND[0], "-c", PLANTED]
    async with checked(tmp_path, microsocks, "--socks5-proxy", microsocks, command=command) as node:
        await node.wait_for("planted")
        code, report = await node.result()

    assert code == 1
    found = report["findings"]
    assert isinstance(found, list)
    assert {(each["kind"], each["where"], each["name"]) for each in found} == {
        ("look-up", "10.254.254.53:53", "planted.example"),
        ("tcp", "192.0.2.77:1", None),
    }
    assert all("python" in each["process"] for each in found)


async def test_a_node_without_its_proxy_is_found_out(tmp_path: Path) -> None:
    async with checked(tmp_path, "127.0.0.1:1", "--addpeer", "192.0.2.77:16111") as node:
        await node.wait_for("seeder.failed")
        await node.wait_for("dial.failed", target="http://192.0.2.77:16111")
        code, report = await node.result()

    found = report["findings"]
    assert code == 1
    assert isinstance(found, list)
    assert ("tcp", "192.0.2.77:16111") in {(each["kind"], each["where"]) for each in found}
    assert any(each["kind"] == "look-up" and "seed" in each["name"] for each in found)


def test_a_check_that_is_killed_leaves_no_program_behind(tmp_path: Path) -> None:
    need_namespaces()
    argv = [*COMMAND, "leakcheck", "--proxy", "127.0.0.1:1", "--", "sh", "-c", "echo $$; exec sleep 600"]
    with subprocess.Popen(argv, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as check:
        assert check.stderr is not None
        pid = int(check.stderr.readline())
        opened = os.pidfd_open(pid)
        check.kill()
    poll = select.poll()
    poll.register(opened)
    try:
        assert poll.poll(10_000), "the program is still there"
    finally:
        os.close(opened)
        if Path(f"/proc/{pid}").exists():
            os.kill(pid, signal.SIGKILL)
