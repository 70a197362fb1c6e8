"""``ziggurat node`` beside a Tor whose control port is scripted, and whose SOCKS port is a working proxy."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import anyio
import pytest
from anyio.abc import SocketAttribute

from tests.node.running import AUDITED_COMMAND, RunningNode, running
from tests.node.tor.control_port import SERVICE, ControlPort
from ziggurat.layers.testing import Socks5Server
from ziggurat.node.adaptor import Adaptor
from ziggurat.node.address import NetAddress, NodeAddress
from ziggurat.node.config import Settings
from ziggurat.node.connection_handler import ConnectionHandler
from ziggurat.node.daemon.daemon import CannotRun, tor_of
from ziggurat.node.daemon.tor import NodeTor
from ziggurat.node.flows import FlowContext, NoAddressBook, OnionGossip
from ziggurat.node.handshake import NodeIdentity
from ziggurat.node.testing import KaspaPeer
from ziggurat.services import Uri

pytestmark = [pytest.mark.slow, pytest.mark.asyncio_only, pytest.mark.real_io]


@asynccontextmanager
async def listening(port: ControlPort, number: int = 0) -> AsyncGenerator[int, None]:
    """Let a control port listen on loopback, until the end of the block."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=number)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, port.serve)
        yield cast(int, listener.extra(SocketAttribute.local_port))
        tasks.cancel_scope.cancel()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Told(NoAddressBook):
    def __init__(self) -> None:
        self.addresses: list[NodeAddress] = []
        self.came = anyio.Event()

    async def learn(self, addresses: Sequence[NodeAddress]) -> None:
        self.addresses += addresses
        self.came.set()


async def told_by(address: NetAddress) -> list[str]:
    """Connect as a node that can dial onion services, and return the addresses that it is told."""
    book = Told()
    context = FlowContext(book, onions=OnionGossip(lambda: True))
    async with Adaptor(ConnectionHandler(), NodeIdentity("kaspa-devnet"), context=context) as adaptor:
        await adaptor.connect_peer(address)
        with anyio.fail_after(5):
            await book.came.wait()
    return list(map(str, book.addresses))


def audited(node: RunningNode, event: str) -> set[str]:
    return {str(cast("list[str]", each["what"])[0]) for each in node.events if each["event"] == f"audit.socket.{event}"}


async def test_a_node_waits_for_tor_dials_through_it_only_and_is_reached_by_its_onion(tmp_path: Path) -> None:
    tor, number = ControlPort(), free_port()
    proxy, peer, caller = Socks5Server(), KaspaPeer(), KaspaPeer()
    async with peer.run(), caller.run(), peer.listen() as address, proxy.serve() as socks:
        tor.listeners = f'"{socks.authority}"'
        flags = ("--tor-control", f"127.0.0.1:{number}", "--listen-onion", "--onion-bind", "127.0.0.1:0")
        connect = ("-b", tmp_path, *flags, "--outpeers=0", f"--addpeer={address}", "--nodnsseed")
        async with running(*connect, command=AUDITED_COMMAND) as node:
            await node.wait_for("node.started", via="Tor's SOCKS port", listen=None)
            await node.wait_for("tor.down", level="warning")
            assert not proxy.requests
            async with listening(tor, number):
                up = await node.wait_for("tor.up")
                connected = await node.wait_for("peer.connected", direction="outbound")
                publishing = await node.wait_for("onion.publishing")
                await tor.upload_all()
                await node.wait_for("onion.published")
                added = next(each for each in tor.commands if each.startswith("ADD_ONION"))
                target = added.partition(",")[2]
                await caller.dial(NetAddress.parse(target))
                by_onion = await node.wait_for("peer.connected", direction="inbound")
                told = await told_by(NetAddress.parse(target))
            await node.wait_for("onion.withdrawn")
            assert await node.stop() == 0

    assert node.other == []
    assert up["via"] == connected["via"] == socks.authority
    assert publishing["onion"] == f"{SERVICE}.onion:16611"
    assert by_onion["via"] == "onion"
    assert told == [f"{SERVICE}.onion:16611"]  # who can dial it, and came in by it; kaspad would leave
    assert caller.sessions[0].told == []
    assert len([each for each in node.events if each["event"] == "tor.down" and each["level"] == "warning"]) == 2
    assert audited(node, "getaddrinfo") == set()
    ours = (f"('127.0.0.1', {number})", f"('127.0.0.1', {socks.port})")
    assert {where for where in audited(node, "connect") if where.startswith("(")} <= set(ours)
    key = tmp_path / "kaspa-devnet" / "onion_key"
    assert added == f"ADD_ONION {key.read_text().strip()} Flags=DiscardPK Port=16611,{target}"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


def settings(folder: Path, **more: object) -> Settings:
    return Settings(appdir=folder, tor_control=Uri("tcp", "127.0.0.1", 9051), **more)  # type: ignore[arg-type]


async def test_without_a_control_port_there_is_no_link(tmp_path: Path) -> None:
    assert await NodeTor.from_settings(Settings(appdir=tmp_path), ConnectionHandler()) is None


async def test_a_key_is_made_only_for_an_onion_service(tmp_path: Path) -> None:
    handler = ConnectionHandler()
    without = await NodeTor.from_settings(settings(tmp_path), handler)
    assert without is not None
    assert without.key is None
    assert not os.listdir(tmp_path)
    first, again = [await NodeTor.from_settings(settings(tmp_path, listen_onion=True), handler) for _ in range(2)]
    assert first is not None
    assert again is not None

    assert first.key is not None
    assert first.key == again.key


async def test_a_key_that_is_none_is_told_in_one_line(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.touch(mode=0o600)

    with pytest.raises(CannotRun, match=f"^{key} is no onion key; [^\n]*$"):
        await tor_of(settings(tmp_path, listen_onion=True, tor_onion_key=key), ConnectionHandler())
