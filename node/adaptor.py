"""All connections of a node: made, accepted, greeted, given their flows, listed and closed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from types import TracebackType

import anyio
from anyio.abc import TaskGroup

from ziggurat.layers.events import write_event
from ziggurat.node.address import NetAddress
from ziggurat.node.connection_handler import RETRY_INTERVAL, ConnectionHandler
from ziggurat.node.flows.flow import FlowContext, FlowFactory, default_flows, reject_flow
from ziggurat.node.handshake.handshake import INBOUND_LIMITS, OUTBOUND_LIMITS, Handshake, HandshakeLimits, Rules
from ziggurat.node.handshake.identity import NodeIdentity
from ziggurat.node.handshake.rejection import HandshakeError, Kind
from ziggurat.node.handshake.run import run_handshake
from ziggurat.node.inbound.limits import FULL, ConnectionCounter, InboundLimits
from ziggurat.node.inbound.listener import Listener
from ziggurat.node.inbound.server import PeerServer
from ziggurat.node.inbound.stream import InboundStream
from ziggurat.node.outbound.stream import OutboundStream
from ziggurat.node.peer.events import EventStream
from ziggurat.node.peer.hub import SAME_PEER, Hub
from ziggurat.node.peer.info import PROXIED, PeerAddress, PeerInfo, PeerKey, peer_key
from ziggurat.node.peer.router import Flow, Router
from ziggurat.node.wire.convert.version import Version
from ziggurat.node.wire.p2p_pb2 import KaspadMessage
from ziggurat.services.errors import one_line

__all__ = ["Adaptor"]

STOPPING = "we are stopping"

STOP_LIMIT = 3.0
"""Seconds in which every peer is told and every connection closed. The node as a whole has five, of which a dial's
linger may take one and the address book nearly another."""


class Adaptor:
    """Owns the connection handler, the hub and, if there is one, the listener. ``async with`` runs it.

    Args:
        connection_handler: how peers are reached.
        identity: who we say we are.
        flows: a user's own, made before ours for each peer; a message type that one of them takes is not ours.
        context: what our own flows work with; its ``publish`` is the hub's.
        listener: where inbound peers come from; ``None`` for a node that only dials.
        limits: how many may come in.
        proxied: whether inbound peers come through a proxy or an onion service.
        rules: of our own, for whom to refuse; duplicates are refused whatever they say.

    Attributes:
        hub: the peers.
        listening: where inbound peers are accepted; ``None`` without a listener.
    """

    def __init__(
        self,
        connection_handler: ConnectionHandler,
        identity: NodeIdentity,
        *,
        flows: Sequence[FlowFactory] = (),
        context: FlowContext | None = None,
        listener: Listener | None = None,
        limits: InboundLimits | None = None,
        proxied: bool = False,
        rules: Rules | None = None,
    ) -> None:
        self.connection_handler = connection_handler
        self.identity = identity
        self.hub = Hub()
        self.listening: NetAddress | None = None
        given = context or FlowContext()
        self._context = FlowContext(given.book, self.hub.publish, given.ping_interval)
        self._factories = tuple(flows)
        self._rules = rules or Rules()
        self._proxied = proxied
        self._limits = limits or InboundLimits()
        self._server: PeerServer | None = None
        if listener is not None:
            self._server = PeerServer(
                listener,
                ConnectionCounter(self._limits, lambda: self.hub.count("inbound")),
                self._accepted,
                proxied=proxied,
                max_message_size=connection_handler.max_message_size,
            )
        self._routers: set[Router] = set()
        self._tasks: TaskGroup | None = None
        self._stack = AsyncExitStack()

    # -- peers

    async def connect_peer(
        self, address: PeerAddress, *, attempts: int = 1, interval: float = RETRY_INTERVAL
    ) -> PeerInfo:
        """Dial a peer, and come to terms with it. It stays connected until one side closes.

        Args:
            address: an IP or a name; with a proxy the name goes there as it is.
            attempts: how often to try; there is no second try after a refusal.
            interval: seconds between two.

        Raises:
            ConnectError: the peer was not reached.
            HandshakeError: it was, and the two did not come to terms.
            RuntimeError: the adaptor is not running.
        """

        async def come_to_terms(stream: OutboundStream) -> PeerInfo:
            router = Router(stream, address, "outbound", self.connection_handler.via)
            router.ledger = stream.ledger
            return await self._establish(router, OUTBOUND_LIMITS)

        self._running()
        return await self.connection_handler.connect(address, come_to_terms, attempts=attempts, interval=interval)

    def peers(self) -> list[PeerInfo]:
        """Who is connected, the oldest first."""
        return self.hub.peers()

    async def terminate(self, key: PeerKey, reason: str) -> bool:
        """Close the connection to a peer, and answer when that is done; ``False`` when it was not connected."""
        router = self.hub.get(key)
        if router is None:
            return False
        router.close(reason)
        await router.closed.wait()
        return True

    async def terminate_all(self, reason: str) -> None:
        """Close every connection, also those whose handshake is under way; answer when that is done."""
        routers = tuple(self._routers)
        for router in routers:
            router.close(reason)
        for router in routers:
            await router.closed.wait()

    def broadcast(self, message: KaspadMessage) -> int:
        """Send to all peers; one that does not keep up with reading does not get it. Answers how many do."""
        return self.hub.broadcast(message)

    def subscribe_events(self) -> EventStream:
        """Listen to what happens from now on; see `EventStream`."""
        return self.hub.subscribe_events()

    # -- life

    async def __aenter__(self) -> Adaptor:
        self._tasks = await self._stack.enter_async_context(anyio.create_task_group())
        if self._server is not None:
            try:
                self.listening = await self._server.start()
            except BaseException:
                await self._stack.aclose()
                raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tasks = self._running()
        self._tasks = None
        with anyio.move_on_after(STOP_LIMIT, shield=True):
            await self.terminate_all(STOPPING)
            if self._server is not None:
                await self._server.aclose()
        tasks.cancel_scope.cancel()
        await self._stack.aclose()
        self.hub.close()

    def _running(self) -> TaskGroup:
        if self._tasks is None:
            raise RuntimeError("the adaptor is not running: use it as an async context manager")
        return self._tasks

    # -- one connection

    def _accepted(self, stream: InboundStream, address: NetAddress, greeted: Callable[[], None]) -> None:
        if self._tasks is None:
            stream.finish()  # we are stopping
        else:
            self._tasks.start_soon(self._receive, stream, address, greeted)

    async def _receive(self, stream: InboundStream, address: NetAddress, greeted: Callable[[], None]) -> None:
        router = Router(stream, address, "inbound", PROXIED if self._proxied else None)
        try:
            if self._tasks is not None:
                await self._establish(router, INBOUND_LIMITS)
        except HandshakeError as error:
            if self._server is not None:
                self._server.refusals.write(address, error.message, kind=error.kind.value)
        except Exception as error:  # of a user's flow or address book: it costs this peer, and no other
            _complain(router, error)
        finally:
            greeted()
            if not router.closed.is_set() and router.info is None:
                stream.finish()  # we are stopping: nobody else will

    async def _establish(self, router: Router, limits: HandshakeLimits) -> PeerInfo:
        """Greet the peer, and let the flows talk. The router carries itself from here on, and has ended on an error."""
        tasks = self._running()
        self._routers.add(router)
        tasks.start_soon(self._carry, router)
        reserved: PeerKey | None = None

        def is_duplicate(id: bytes) -> bool:
            nonlocal reserved
            key = self._key(id, router)
            if not self.hub.reserve(key, router.direction):
                return True
            reserved = key
            return self._rules.is_duplicate(id)

        rules = Rules(is_duplicate, self._rules.is_banned, self._rules.refuses_user_agent)
        flows: list[Flow] = []

        def subscribe(version: Version) -> None:
            # Looked at again: many may have come through the door at once, when there was room for one.
            if router.direction == "inbound" and self.hub.taken("inbound") > self._limits.peers:
                raise HandshakeError(Kind.BUSY, FULL, by_peer=False)
            flows.extend(make(router) for make in self._factories)
            flows.extend(default_flows(router, self._context))

        try:
            version = await run_handshake(router, Handshake(self.identity.version(), limits, rules), subscribe)
            return await self._welcome(router, version, flows)
        except BaseException:
            with anyio.CancelScope(shield=True):  # bounded: our last words have a second
                await router.closed.wait()
            raise
        finally:
            if reserved is not None:
                self.hub.release(reserved, router.direction)

    async def _welcome(self, router: Router, version: Version, flows: list[Flow]) -> PeerInfo:
        if not router.is_subscribed("reject"):
            flows.append(reject_flow(router))
        info = PeerInfo(
            id=version.id,
            address=router.address,
            direction=router.direction,
            via=router.via,
            user_agent=version.user_agent,
            protocol_version=version.protocol_version,
            network=version.network,
            services=version.services,
            connected_at=anyio.current_time(),
        )
        if router.reason is not None:
            raise HandshakeError(Kind.CLOSED, router.reason, by_peer=True)
        router.on_close = lambda reason: self.hub.remove(router, reason)
        if not self.hub.add(router, info, self.identity.id):
            raise HandshakeError(Kind.DUPLICATE, SAME_PEER, by_peer=False)
        for flow in flows:
            router.launch(flow)
        if version.address is not None:
            await self._context.book.learn([version.address])
        return info

    async def _carry(self, router: Router) -> None:
        try:
            await router.run()
        except Exception as error:
            _complain(router, error)
        finally:
            self._routers.discard(router)

    def _key(self, id: bytes, router: Router) -> PeerKey:
        return peer_key(id, router.address, proxied=router.direction == "inbound" and self._proxied)


def _complain(router: Router, error: Exception) -> None:
    write_event(None, "warning", "flow.failed", peer=str(router.address), error=one_line(repr(error)))
    router.close(f"a flow failed: {type(error).__name__}")
