"""Our node and a real kaspad, each dialling the other."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import anyio
import pytest

from tests.interop.programs import answers, loopback_address, running
from ziggurat.node.acceptor import TcpAcceptor
from ziggurat.node.adaptor import Adaptor
from ziggurat.node.connection_handler import ConnectionHandler, proxy_layer
from ziggurat.node.dialled import DialledStream
from ziggurat.node.events import AddressesReceived, EventStream, PeerConnected, PeerDisconnected
from ziggurat.node.flows import FlowContext
from ziggurat.node.identity import Identity
from ziggurat.node.net_address import NetAddress
from ziggurat.node.rejection import HandshakeError, Kind
from ziggurat.node.wire import p2p_pb2 as p2p
from ziggurat.node.wire.p2p_pb2 import KaspadMessage

pytestmark = [pytest.mark.real_io, pytest.mark.asyncio_only]

NETWORK = "kaspa-devnet"
PORT = 16611
LIMIT = 40.0
QUIET = "--outpeers=0 --nodnsseed --disable-upnp --nogrpc --nologfiles --yes --ram-scale=0.3 --loglevel=debug"
PRIVATE = NetAddress.parse("10.1.2.3:16611")


@dataclass(frozen=True)
class Kaspad:
    address: NetAddress
    log: Path
    process: subprocess.Popen[bytes]

    def said(self, text: str) -> bool:
        return text in self.log.read_text(errors="replace")

    def warnings(self) -> list[str]:
        lines = self.log.read_text(errors="replace").splitlines()
        return [line for line in lines if "[WARN" in line or "[ERROR" in line]


def program() -> str:
    found = os.environ.get("ZIGGURAT_KASPAD") or shutil.which("kaspad")
    if found is None:
        pytest.skip("kaspad is not installed (name it in ZIGGURAT_KASPAD)")
    return found


class starting:
    """A kaspad of its own, on an address of its own, for the length of a block."""

    def __init__(self, new_folder: Callable[[str], Path], *flags: str) -> None:
        self._folder, self._flags = new_folder("kaspad"), flags

    def __enter__(self) -> Kaspad:
        address, log = loopback_address(), self._folder / "log"
        argv = [
            program(),
            "--devnet",
            "-b",
            str(self._folder),
            f"--listen={address}:{PORT}",
            *QUIET.split(),
            *self._flags,
        ]
        self._running = running(argv, log, lambda: answers(address, PORT), stop=signal.SIGINT, limit=60.0)
        return Kaspad(NetAddress(ip_address(address), PORT), log, self._running.__enter__())

    def __exit__(self, *exc: object) -> None:
        self._running.__exit__(None, None, None)


def node(network: str = NETWORK, *, handler: ConnectionHandler | None = None, **identity: object) -> Adaptor:
    return Adaptor(
        handler or ConnectionHandler(),
        Identity(network, **identity),  # type: ignore[arg-type]
        context=FlowContext(Book(), ping_interval=0.2),
    )


class Book:
    async def sample(self, count: int) -> list[NetAddress]:
        return [PRIVATE]

    async def learn(self, addresses: object) -> None:
        pass


async def first(events: EventStream, kind: type) -> object:
    async for event in events:
        if isinstance(event, kind):
            return event
    raise AssertionError(f"no {kind.__name__}")


async def until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110  (a log file changes, and nobody tells)
        await anyio.sleep(0.01)


async def measured(adaptor: Adaptor) -> None:
    await until(lambda: all(peer.ping is not None for peer in adaptor.peers()))


async def test_we_dial_it_talk_and_leave_without_a_warning_in_its_log(new_folder: Callable[[str], Path]) -> None:
    with anyio.fail_after(LIMIT), starting(new_folder) as kaspad:
        async with node() as ours:
            with ours.subscribe_events() as events:
                info = await ours.connect_peer(kaspad.address)
                assert (info.network, info.protocol_version, info.direction) == (NETWORK, 11, "outbound")
                assert info.user_agent.startswith("/kaspad:")
                await first(events, AddressesReceived)
                await measured(ours)
            # What we told it, it tells the next one: it has asked, and has taken our answer.
            async with node() as another:
                with another.subscribe_events() as events:
                    await another.connect_peer(kaspad.address)
                    told = await first(events, AddressesReceived)
                    assert isinstance(told, AddressesReceived)
                    assert told.addresses == (PRIVATE,)
        await until(lambda: kaspad.said("incoming stream ended from peer"))
        assert kaspad.warnings() == []


async def test_every_refusal_reaches_us_with_its_reason(new_folder: Callable[[str], Path]) -> None:
    with anyio.fail_after(LIMIT), starting(new_folder) as kaspad:
        async with node() as ours, node(protocol_version=9) as old, node(id=ours.identity.id) as twin:
            await ours.connect_peer(kaspad.address)
            reasons = {}
            for adaptor in (old, twin):
                with pytest.raises(HandshakeError) as caught:
                    await adaptor.connect_peer(kaspad.address, attempts=3, interval=100.0)  # a refusal is final
                assert caught.value.by_peer
                reasons[caught.value.kind] = caught.value.reason
            assert reasons == {
                Kind.VERSION: "P2P protocol version mismatch - local: 11, remote: 9",
                Kind.DUPLICATE: "DUPLICATE_CONNECTION",
            }
            assert len(ours.peers()) == 1


async def raw(handler: ConnectionHandler, address: NetAddress, *messages: KaspadMessage) -> list[str]:
    """Say these messages, whatever the peer says; answer with what it said."""

    async def talk(stream: DialledStream) -> list[str]:
        said = []
        try:
            for message in messages:
                await stream.send(message)
            while (answer := await stream.receive()) is not None:
                said.append(answer.reject.reason if answer.HasField("reject") else str(answer.WhichOneof("payload")))
        finally:
            await stream.aclose()
        return said

    return await handler.connect(address, talk)


async def test_the_wrong_network_in_its_own_words(new_folder: Callable[[str], Path]) -> None:
    with anyio.fail_after(LIMIT), starting(new_folder) as kaspad:
        async with node("kaspa-simnet") as ours:
            # We have seen its Version as well, and are the first to say so.
            with pytest.raises(HandshakeError, match="Network mismatch - local: kaspa-simnet, remote: kaspa-devnet"):
                await ours.connect_peer(kaspad.address)
        await until(lambda: kaspad.said("Network mismatch"))
        version = p2p.VersionMessage(protocolVersion=11, network="kaspa-simnet", id=os.urandom(16))
        said = await raw(
            ConnectionHandler(),
            kaspad.address,
            KaspadMessage(version=version),
            KaspadMessage(verack=p2p.VerackMessage()),
        )
        assert said[-1] == "Network mismatch - local: kaspa-devnet, remote: kaspa-simnet"


async def test_too_many_handshakes_at_once_are_no_refusal_for_good(new_folder: Callable[[str], Path]) -> None:
    with anyio.fail_after(LIMIT), starting(new_folder) as kaspad:
        handler = ConnectionHandler()
        silent: list[list[str]] = []

        async def say_nothing() -> None:
            silent.append(await raw(handler, kaspad.address))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(say_nothing)
            tasks.start_soon(say_nothing)
            await until(lambda: kaspad.log.read_text(errors="replace").count("send frame=Headers") >= 2)
            async with node() as ours:
                with pytest.raises(HandshakeError) as caught:
                    await ours.connect_peer(kaspad.address)
                assert caught.value.kind is Kind.BUSY
                assert "too many pending inbound handshakes" in caught.value.reason
                assert caught.value.transient
                assert not caught.value.protocol_error
        assert [said[-1] for said in silent] == ["timeout expired after 4s"] * 2


async def test_it_dials_us_twice_and_one_stays(new_folder: Callable[[str], Path]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with anyio.fail_after(LIMIT):
        ours = Adaptor(
            ConnectionHandler(),
            Identity(NETWORK),
            acceptor=TcpAcceptor(NetAddress.parse(f"127.0.0.1:{port}")),
            context=FlowContext(ping_interval=0.2),
        )
        async with ours:
            with ours.subscribe_events() as events, starting(new_folder, f"--addpeer=127.0.0.1:{port}") as kaspad:
                event = await first(events, PeerConnected)
                assert isinstance(event, PeerConnected)
                assert (event.peer.direction, event.peer.network) == ("inbound", NETWORK)
                await first(events, AddressesReceived)
                await measured(ours)
                assert [peer.id for peer in ours.peers()] == [event.peer.id]
                await until(lambda: kaspad.said(f"P2P Connected to outgoing peer 127.0.0.1:{port}"))
                kaspad.process.send_signal(signal.SIGKILL)
                gone = await first(events, PeerDisconnected)
                assert isinstance(gone, PeerDisconnected)
                assert gone.peer.id == event.peer.id
                assert ours.peers() == []
                assert [line for line in kaspad.warnings() if "P2P" in line or "flow" in line] == []


@pytest.mark.parametrize("proxy", ["microsocks", "dante"])
async def test_through_a_proxy(proxy: str, new_folder: Callable[[str], Path], request: pytest.FixtureRequest) -> None:
    address = request.getfixturevalue(proxy)
    with anyio.fail_after(LIMIT), starting(new_folder) as kaspad:
        handler = ConnectionHandler(proxy_layer(address))
        async with node(handler=handler) as ours:
            info = await ours.connect_peer(kaspad.address)
            assert info.via == handler.via
            await measured(ours)
        await until(lambda: kaspad.said("incoming stream ended from peer"))
        assert kaspad.warnings() == []
