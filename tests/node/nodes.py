"""Whole nodes on an in-memory network."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from anyio.abc import ByteStream, SocketAttribute

from ziggurat.layers.testing import ScriptedProxy
from ziggurat.layers.testing.memory import MemoryStream
from ziggurat.layers.testing.socks5_server import relay
from ziggurat.node.adaptor import Adaptor
from ziggurat.node.address import NetAddress, PeerAddress
from ziggurat.node.connection_handler import ConnectionHandler
from ziggurat.node.flows import FlowContext, FlowFactory
from ziggurat.node.handshake.handshake import Rules
from ziggurat.node.handshake.identity import NodeIdentity
from ziggurat.node.handshake.run import closing_with_reject
from ziggurat.node.inbound.bans import BanList
from ziggurat.node.inbound.limits import InboundLimits
from ziggurat.node.ip_network import parse_network
from ziggurat.node.outbound.stream import OutboundStream
from ziggurat.node.testing import KaspaPeer, MemoryNetwork
from ziggurat.services import Connector, Uri, dial, phase
from ziggurat.services.channel.message_stream import MessageStream
from ziggurat.services.errors import copy_error

NETWORK = "kaspa-devnet"
PORT = 16611

T = TypeVar("T")


def at(ip: str) -> NetAddress:
    return NetAddress.parse(f"{ip}:{PORT}")


def node(
    network: MemoryNetwork,
    ip: str,
    *,
    listens: bool = True,
    identity: NodeIdentity | None = None,
    flows: Sequence[FlowFactory] = (),
    context: FlowContext | None = None,
    limits: InboundLimits | None = None,
    proxied: bool = False,
    rules: Rules | None = None,
    bans: BanList | None = None,
    max_message_size: int = 32 * 1024 * 1024,
) -> Adaptor:
    host = network.host(ip)
    return Adaptor(
        ConnectionHandler(leaf=host, max_message_size=max_message_size),
        identity or NodeIdentity(NETWORK, f"/{ip}/"),
        listener=host.listener(PORT) if listens else None,
        flows=flows,
        context=context,
        limits=limits,
        inbound_proxies=[parse_network("0.0.0.0/0")] if proxied else [],
        rules=rules,
        bans=bans,
    )


async def dial_and_run(
    handler: ConnectionHandler, address: PeerAddress, talk: Callable[[OutboundStream], Awaitable[T]]
) -> T:
    """Dial as a node does, but run ``talk`` in place of the handshake. An error in ``talk`` closes the stream."""
    with dial(address.uri()):
        stream = await handler.connect(address)
        async with closing_with_reject(stream):
            with phase("handshake"):
                await stream.open()
                return await talk(stream)


async def send_raw(call: MessageStream, data: bytes, *, end: bool = False) -> None:
    """Send bytes that need be no messages, from either end."""
    if call.stopped is not None:
        raise copy_error(call.stopped)
    protocol, position = call.protocol, 0
    while position < len(data):
        step = min(protocol.core.room(call), len(data) - position)
        if step <= 0 or not protocol.writable:
            await call._wait_for_room(step <= 0)
            continue
        part = memoryview(data)[position : position + step]
        position += step
        protocol.core.send_data(call, (part,), step, end=end and position == len(data))
        protocol.flush_soon()


@asynccontextmanager
async def proxy_to_peer(
    method: int | None = None, *, ports: Sequence[int | None] = (40123,)
) -> AsyncGenerator[tuple[Connector, ScriptedProxy], None]:
    """A proxy behind which every target is a kaspad, and the leaf that reaches it.

    Args:
        method: the method that it chooses; ``None`` takes credentials if they are offered.
        ports: the source port of each connection to it, in order; ``None`` is a connection without one.
    """
    network, kaspad, left = MemoryNetwork(), KaspaPeer(), iter(ports)
    far = network.host("10.0.0.3")

    async def target(client: ByteStream) -> None:
        await relay(client, await far(Uri("tcp", "10.0.0.2", PORT)))

    proxy = ScriptedProxy(method=method, target=target)
    near = proxy.connector()

    async def leaf(uri: Uri, /) -> ByteStream:
        stream, port = await near(uri), next(left)
        assert isinstance(stream, MemoryStream)
        if port is not None:
            stream.attributes[SocketAttribute.local_address] = lambda: ("127.0.0.1", port)
        return stream

    async with proxy, kaspad.run(), kaspad.listen(network.host("10.0.0.2").listener(PORT)):
        yield leaf, proxy
