"""The demo: a node dials an embedded peer by name through an embedded SOCKS5 proxy, all on loopback.

Only the proxy can resolve the name, so the demo fails if anything else tries to.
"""

from __future__ import annotations

import errno
import secrets
from dataclasses import dataclass, field

import anyio
from anyio.abc import ByteStream

from ziggurat.layers import Stack, UserPass
from ziggurat.layers.testing import Socks5Server
from ziggurat.node.adaptor import Adaptor
from ziggurat.node.address import NamedAddress, NetAddress
from ziggurat.node.connection_handler import ConnectionHandler, proxy_layer
from ziggurat.node.handshake import NodeIdentity
from ziggurat.node.peer import AddressesReceived, PeerInfo, Router
from ziggurat.node.testing import KaspaPeer
from ziggurat.node.wire import KaspadMessage, PingMessage
from ziggurat.services import Ledger, Uri, dial

__all__ = ["DemoResult", "run_demo"]

PEER = Uri.parse("http://peer.demo:16611")
NETWORK = "kaspa-devnet"
PEER_ADDRESSES = tuple(map(NetAddress.parse, ("192.0.2.10:16611", "192.0.2.11:16611", "[2001:db8::12]:16611")))
"""The peer's known addresses, from the ranges reserved for documentation (RFC 5737, RFC 3849)."""

REPLY_TIMEOUT = 10.0
"""Seconds to wait for each reply of the peer."""


@dataclass(slots=True)
class DemoResult:
    """The outcome of the demo; what did not happen is ``None`` or empty.

    Attributes:
        stack: the stack that dialled the peer.
        via: the proxy's address.
        target: the target of the dial.
        ledger: the record of the dial and the handshake.
        peer: the peer that answered.
        ping: the round-trip time of the ping, in seconds.
        addresses: the addresses that the peer sent.
        resolved_by_proxy: the host that the proxy was asked to reach.
        error: the error that ended the demo, if any.
    """

    stack: Stack
    via: str
    target: Uri = PEER
    ledger: Ledger | None = None
    peer: PeerInfo | None = None
    ping: float | None = None
    addresses: list[str] = field(default_factory=list[str])
    resolved_by_proxy: str | None = None
    error: Exception | None = None


class PingFlow:
    """A flow that sends a ping at once. It subscribes to pongs, so the node's own ping flow does not start."""

    def __init__(self, router: Router) -> None:
        self.elapsed: float | None = None
        self.done = anyio.Event()
        self._router = router
        self._pongs = router.subscribe("pong")

    async def run(self) -> None:
        """Send one ping and wait for its pong."""
        nonce, started = secrets.randbits(64), anyio.current_time()
        await self._router.send(KaspadMessage(ping=PingMessage(nonce=nonce)))
        if (await self._pongs.receive(REPLY_TIMEOUT)).pong.nonce == nonce:
            self.elapsed = anyio.current_time() - started
        self.done.set()


async def run_demo(user_agent: str) -> DemoResult:
    """Start the peer and the proxy, dial, exchange messages, stop. Errors are returned in the result, not raised.

    Args:
        user_agent: the peer's user agent.
    """
    peer = KaspaPeer(NETWORK, user_agent=user_agent, addresses=PEER_ADDRESSES)
    async with peer.run(), peer.listen() as listening:

        async def reach(uri: Uri) -> ByteStream:
            """The proxy's connector, the only place that can resolve ``peer.demo``."""
            if uri.host != PEER.host:
                raise ConnectionRefusedError(errno.ECONNREFUSED, "this proxy reaches only peer.demo")
            return await anyio.connect_tcp(str(listening.ip), listening.port)

        user = UserPass("demo", secrets.token_hex(8))
        proxy = Socks5Server({user.username: user.password}, connector=reach)
        async with proxy.serve() as address:
            handler = ConnectionHandler(proxy_layer(address, user))
            result = DemoResult(handler.stack(PEER), address.authority)
            try:
                await _connect_and_ping(handler, result)
            except Exception as error:
                result.error = error
            result.resolved_by_proxy = proxy.requests[-1].host if proxy.requests else None
            return result


async def _connect_and_ping(handler: ConnectionHandler, result: DemoResult) -> None:
    pings: list[PingFlow] = []

    def ping(router: Router) -> PingFlow:
        pings.append(PingFlow(router))
        return pings[-1]

    async with Adaptor(handler, NodeIdentity(NETWORK), flows=[ping]) as node:
        with node.subscribe_events() as events:
            with dial(PEER) as current:
                result.ledger = current.ledger
                result.peer = await node.connect_peer(NamedAddress(PEER.host, PEER.port))
            with anyio.fail_after(REPLY_TIMEOUT):
                async for event in events:
                    if isinstance(event, AddressesReceived):
                        result.addresses = [str(known) for known in event.addresses]
                        break
                await pings[-1].done.wait()
            result.ping = pings[-1].elapsed
            if result.ping is None:
                raise RuntimeError("the pong's nonce is not that of our ping")
