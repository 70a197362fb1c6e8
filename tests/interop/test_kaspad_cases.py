"""The cases of `kaspad_cases` with a real kaspad, on loopback and in real time.

Those that wait for its two-minute pings only run if ``ZIGGURAT_SLOW`` is set.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import structlog
from anyio import to_thread
from anyio.abc import ByteStream

from tests.interop.kaspad import PORT, Program, kaspad_program, routable_address
from tests.interop.programs import loopback_address
from tests.node.kaspad_cases import CASES, SLOW, Case, Kaspad, World
from ziggurat.layers.testing import Socks5Server
from ziggurat.node.address import NetAddress
from ziggurat.node.config.proxy import Proxy, parse_socks5_proxy
from ziggurat.node.inbound.listener import Listener
from ziggurat.services import Connector, SocketConnector, Uri

pytestmark = [pytest.mark.real_io, pytest.mark.asyncio_only]


class Real(Kaspad):
    """A kaspad process."""

    def __init__(self, program: Program) -> None:
        self.address = program.address
        self.program = program

    async def kill(self) -> None:
        await to_thread.run_sync(self.program.kill)

    async def revive(self) -> None:
        await to_thread.run_sync(self.program.start)

    async def ban(self, ip: str) -> None:
        await self.program.ban(ip)

    def complaints(self) -> list[str]:
        return self.program.warnings()


class LoopbackWorld(World):
    """Node and kaspads on loopback, or on another address of this machine if they must be in address books."""

    def __init__(self, events: list[Any], new_folder: Callable[[str], Path], proxy: Proxy | None) -> None:
        super().__init__(events, proxy)
        self._new_folder = new_folder
        self._strays: set[str] = set()

    @asynccontextmanager
    async def kaspad(
        self,
        *,
        addpeer: NetAddress | None = None,
        refused_user_agent: str | None = None,
        routable: bool = False,
        rpc: bool = False,
    ) -> AsyncIterator[Kaspad]:
        flags = [] if addpeer is None else [f"--addpeer={addpeer}"]
        if refused_user_agent is not None:
            flags.append(f"--ua-rule=reject;regex:{refused_user_agent}")
        address = routable_address() if routable else None
        program = Program(self._new_folder("kaspad"), *flags, address=address, rpc=rpc)
        await to_thread.run_sync(program.start)
        try:
            yield Real(program)
        finally:
            program.stop()

    def origin(self) -> str:
        return "127.0.0.1"  # the source address that Linux chooses for loopback

    def address(self) -> NetAddress:
        return NetAddress(ip_address(loopback_address()), PORT)

    def leaf(self) -> Connector:
        sockets, proxy = SocketConnector(), self.proxy
        if proxy is None:
            return sockets

        async def reach(uri: Uri) -> ByteStream:
            if (uri.host, uri.port) != (proxy.uri.host, proxy.uri.port):
                self._strays.add(uri.host)
            return await sockets(uri)

        return reach

    def listener(self, address: NetAddress) -> Listener | None:
        return None

    def dialled(self) -> set[str]:
        return self._strays


@pytest.mark.parametrize("proxied", [False, True], ids=["directly", "through a proxy"])
@pytest.mark.parametrize("case", [*CASES.values(), *SLOW.values()], ids=[*CASES, *SLOW])
async def test_with_a_real_kaspad(case: Case, proxied: bool, new_folder: Callable[[str], Path]) -> None:
    kaspad_program()
    if case in SLOW.values() and not os.environ.get("ZIGGURAT_SLOW"):
        pytest.skip("it takes four minutes (set ZIGGURAT_SLOW)")
    with structlog.testing.capture_logs() as events:
        if not proxied:
            await case(LoopbackWorld(events, new_folder, None))  # type: ignore[arg-type]
            return
        async with Socks5Server().serve() as at:
            await case(LoopbackWorld(events, new_folder, parse_socks5_proxy(at.authority)))  # type: ignore[arg-type]
