"""Our node and a real kaspad, beyond the cases shared with the embedded peer (`test_kaspad_cases`)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from tests.interop.kaspad import starting
from tests.node.nodes import dial_and_run
from ziggurat.node.adaptor import Adaptor
from ziggurat.node.address import NetAddress
from ziggurat.node.connection_handler import ConnectionHandler, proxy_layer
from ziggurat.node.flows import FlowContext
from ziggurat.node.handshake.identity import NodeIdentity
from ziggurat.node.handshake.rejection import HandshakeError, Kind
from ziggurat.node.outbound.stream import OutboundStream
from ziggurat.node.wire import p2p_pb2 as p2p
from ziggurat.node.wire.p2p_pb2 import KaspadMessage

pytestmark = [pytest.mark.real_io, pytest.mark.asyncio_only]

LIMIT = 40.0


def node(*, handler: ConnectionHandler | None = None) -> Adaptor:
    return Adaptor(handler or ConnectionHandler(), NodeIdentity("kaspa-devnet"), context=FlowContext(ping_interval=0.2))


async def until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110  (there is no event for a change of a log file)
        await anyio.sleep(0.01)


async def measured(adaptor: Adaptor) -> None:
    await until(lambda: all(peer.ping is not None for peer in adaptor.peers()))


async def raw(handler: ConnectionHandler, address: NetAddress, *messages: KaspadMessage) -> list[str]:
    """Send these messages unconditionally and return what the peer sent."""

    async def talk(stream: OutboundStream) -> list[str]:
        said = []
        try:
            for message in messages:
                await stream.send(message)
            while (answer := await stream.receive()) is not None:
                said.append(answer.reject.reason if answer.HasField("reject") else str(answer.WhichOneof("payload")))
        finally:
            await stream.aclose()
        return said

    return await dial_and_run(handler, address, talk)


async def test_the_wrong_network_is_refused_in_kaspads_words(new_folder: Callable[[str], Path]) -> None:
    with anyio.fail_after(LIMIT), starting(new_folder) as kaspad:
        version = p2p.VersionMessage(protocolVersion=11, network="kaspa-simnet", id=os.urandom(16))
        said = await raw(
            ConnectionHandler(),
            kaspad.address,
            KaspadMessage(version=version),
            KaspadMessage(verack=p2p.VerackMessage()),
        )
        assert said[-1] == "Network mismatch - local: kaspa-devnet, remote: kaspa-simnet"


async def test_too_many_concurrent_handshakes_are_a_transient_refusal(new_folder: Callable[[str], Path]) -> None:
    with anyio.fail_after(LIMIT), starting(new_folder) as kaspad:
        handler = ConnectionHandler()
        silent: list[list[str]] = []

        async def say_nothing() -> None:
            silent.append(await raw(handler, kaspad.address))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(say_nothing)
            tasks.start_soon(say_nothing)
            await until(lambda: kaspad.log().count("send frame=Headers") >= 2)
            async with node() as ours:
                with pytest.raises(HandshakeError) as caught:
                    await ours.connect_peer(kaspad.address)
                assert caught.value.kind is Kind.BUSY
                assert "too many pending inbound handshakes" in caught.value.reason
                assert caught.value.transient
                assert not caught.value.protocol_error
        assert [said[-1] for said in silent] == ["timeout expired after 4s"] * 2


@pytest.mark.parametrize("proxy", ["microsocks", "dante"])
async def test_through_a_proxy(proxy: str, new_folder: Callable[[str], Path], request: pytest.FixtureRequest) -> None:
    address = request.getfixturevalue(proxy)
    with anyio.fail_after(LIMIT), starting(new_folder) as kaspad:
        handler = ConnectionHandler(proxy_layer(address))
        async with node(handler=handler) as ours:
            info = await ours.connect_peer(kaspad.address)
            assert info.via == address
            await measured(ours)
        await until(lambda: kaspad.said("incoming stream ended from peer"))
        assert kaspad.warnings() == []
