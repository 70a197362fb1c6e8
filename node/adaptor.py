"""All connections of a node: dials and accepts them, runs handshakes and flows, lists and closes peers."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from types import TracebackType

import anyio
from anyio.abc import TaskGroup

from ziggurat.layers.events import write_event
from ziggurat.node.address import AddressNetwork, NetAddress, PeerAddress
from ziggurat.node.connection_handler import ConnectionHandler
from ziggurat.node.flows import AdvertisedAddress, FlowContext, FlowFactory, default_flows
from ziggurat.node.handshake import (
    BANNED,
    INBOUND_LIMITS,
    OUTBOUND_LIMITS,
    Handshake,
    HandshakeError,
    HandshakeLimits,
    Kind,
    NodeIdentity,
    Rules,
    State,
    closing_with_reject,
    run_handshake,
)
from ziggurat.node.inbound import Ban, BanList, ConnectionCounter, InboundLimits, InboundStream, Listener, PeerServer
from ziggurat.node.ip_network import IpNetwork
from ziggurat.node.peer import ONION, PROXIED, EventStream, Hub, Link, PeerInfo, PeerKey, Router, Turns, peer_info
from ziggurat.node.wire import KaspadMessage, MessageStream
from ziggurat.services import ConnectError, Ledger, dial, phase
from ziggurat.services.errors import one_line
from ziggurat.services.validation import check_count

__all__ = ["RETRY_INTERVAL", "Adaptor"]

STOPPING = "we are stopping"

RETRY_INTERVAL = 1.0
"""Seconds between the attempts of an `Adaptor.connect_peer`."""

STOP_TIMEOUT = 3.0
"""Seconds to close all connections. The node as a whole has five, of which a dial's linger may take one and the address
book nearly another."""


class Adaptor:
    """The owner of the connection handler, the hub and the optional listener. ``async with`` runs it.

    Args:
        connection_handler: the connection handler, which dials peers.
        identity: the node's identity, which our Version messages state; each network has one of its own, see
            `NodeIdentity.of_network`.
        flows: the user's flows, created before the default ones for each peer. The default flows leave out the message
            types that a user's flow has subscribed to.
        context: the settings of the default flows; its ``publish`` is replaced by the hub's.
        listener: the listener for inbound peers; ``None`` for a node that only dials.
        onion_listener: the listener for those that come in by our onion service; ``None`` without one.
        limits: the limits for inbound peers.
        inbound_proxies: the networks that inbound peers come from through a proxy, a gateway or an onion service.
        proxied_network: the network that peers from there count as; ``None`` is the family of the proxy's address.
        bans: the bans; ``None`` makes an empty list. Banned peers are neither let in nor dialled, and dropped if they
            are connected.
        rules: extra rules for refusing peers; duplicates are always refused.

    Attributes:
        bans: as above.
        hub: the connected peers.
        listening: the address on which inbound peers are accepted; ``None`` without a listener.
    """

    def __init__(
        self,
        connection_handler: ConnectionHandler,
        identity: NodeIdentity,
        *,
        flows: Sequence[FlowFactory] = (),
        context: FlowContext | None = None,
        listener: Listener | None = None,
        onion_listener: Listener | None = None,
        limits: InboundLimits | None = None,
        inbound_proxies: Sequence[IpNetwork] = (),
        proxied_network: AddressNetwork | None = None,
        bans: BanList | None = None,
        rules: Rules | None = None,
    ) -> None:
        self.connection_handler = connection_handler
        self.identity = identity
        self.bans = BanList(proxies=inbound_proxies) if bans is None else bans
        limits = limits or InboundLimits()
        self.hub = Hub(limits.peers)
        self.listening: NetAddress | None = None
        given = context or FlowContext()
        self._context = replace(given, publish=self.hub.publish)
        self._flow_factories = tuple(flows)
        self._rules = rules or Rules()
        self._server: PeerServer | None = None
        if listener is not None or onion_listener is not None:
            self._server = PeerServer(
                listener,
                ConnectionCounter(limits, lambda: self.hub.is_full),
                self._on_inbound,
                onion_listener=onion_listener,
                proxies=inbound_proxies,
                proxied_network=proxied_network,
                bans=self.bans,
                max_message_size=connection_handler.max_message_size,
            )
        self._routers: set[Router] = set()
        self._turns = Turns()
        self._handshakes: set[anyio.CancelScope] = set()  # the scopes of running handshakes
        self._tasks: TaskGroup | None = None
        self._stack = AsyncExitStack()

    # -- peers

    async def connect_peer(
        self, address: PeerAddress, *, attempts: int = 1, interval: float = RETRY_INTERVAL
    ) -> PeerInfo:
        """Dial a peer and complete the handshake. The peer stays connected until one side closes the connection.

        Args:
            address: the peer's address; a proxy gets a name unresolved.
            attempts: the maximum number of attempts. Refusals and errors that are not transient are not retried.
            interval: the time between attempts, in seconds.

        Raises:
            ConnectError: the peer was not reached.
            HandshakeError: the peer was reached, but the handshake failed.
            RuntimeError: the adaptor is not running.
            ValueError: ``attempts`` is not positive, or the address has port 0.
        """
        self._require_running()
        check_count("attempts", attempts, optional=False)
        while True:
            attempts -= 1
            try:
                return await self._connect(address)
            except ConnectError as error:
                refused = isinstance(error, HandshakeError) and error.protocol_error
                if attempts == 0 or refused or not error.transient:
                    raise
            await anyio.sleep(interval)

    async def _connect(self, address: PeerAddress) -> PeerInfo:
        with dial(address.uri()) as current:
            if (ban := self.bans.of_address(address)) is not None:
                raise ConnectError(f"{ban} is banned", transient=False)
            stream = await self.connection_handler.connect(address)
            async with closing_with_reject(stream):
                with phase("handshake"):
                    await stream.open()
                    link = Link.to(address, self.connection_handler.via(address), stream.tunnel)
                    return await self._add_peer(stream, link, OUTBOUND_LIMITS, current.ledger)

    def peers(self) -> list[PeerInfo]:
        """Return the records of the connected peers, oldest connection first."""
        return self.hub.peers()

    async def terminate(self, key: PeerKey, reason: str) -> bool:
        """Close the connection to a peer and wait until it is closed; return ``False`` if there was none."""
        router = self.hub.get(key)
        if router is None:
            return False
        router.close(reason)
        await router.closed.wait()
        return True

    async def terminate_all(self, reason: str) -> None:
        """Cancel all handshakes, close all connections, and wait until the connections are closed."""
        for scope in tuple(self._handshakes):
            scope.cancel()
        routers = tuple(self._routers)
        for router in routers:
            router.close(reason)
        for router in routers:
            await router.closed.wait()

    def broadcast(self, message: KaspadMessage) -> int:
        """Queue a message for all peers, except those whose send queue is full. Return how many will get it."""
        return self.hub.broadcast(message)

    def subscribe_events(self) -> EventStream:
        """Return a stream of the events from now on; see `EventStream`."""
        return self.hub.subscribe_events()

    # -- life

    async def __aenter__(self) -> Adaptor:
        self._tasks = await self._stack.enter_async_context(anyio.create_task_group())
        self.bans.watchers.add(self._drop_banned)
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
        tasks = self._require_running()
        self._tasks = None
        self.bans.watchers.discard(self._drop_banned)
        with anyio.move_on_after(STOP_TIMEOUT, shield=True):
            await self.terminate_all(STOPPING)
            if self._server is not None:
                await self._server.aclose()
        tasks.cancel_scope.cancel()
        await self._stack.aclose()
        self.hub.close()

    def _require_running(self) -> TaskGroup:
        if self._tasks is None:
            raise RuntimeError("the adaptor is not running: use it as an async context manager")
        return self._tasks

    def _drop_banned(self, ban: Ban) -> None:
        for router in self.hub.routers():
            if self.bans.of_peer(router.info) is not None:
                router.close(f"{ban} is banned")

    # -- one connection

    def _on_inbound(self, stream: InboundStream) -> None:
        if self._tasks is None:
            stream.finish()  # the adaptor is stopping
        else:
            self._tasks.start_soon(self._run_inbound, stream)

    async def _run_inbound(self, stream: InboundStream) -> None:
        try:
            async with closing_with_reject(stream):
                via = ONION if stream.onion else PROXIED if stream.proxied else None
                await self._add_peer(stream, Link(stream.address, "inbound", via, stream.network), INBOUND_LIMITS)
        except HandshakeError as error:
            if self._server is not None:
                self._server.refusals.write(stream.address, error.message, kind=error.kind.value)
        except Exception as error:  # a bug in a user's flow affects this peer only
            write_event(None, "warning", "flow.failed", peer=str(stream.address), error=one_line(repr(error)))
        finally:
            stream.handshake_over()

    async def _add_peer(
        self, stream: MessageStream, link: Link, limits: HandshakeLimits, ledger: Ledger | None = None
    ) -> PeerInfo:
        """Run the handshake and start the flows. After that, the peer's router owns the stream."""
        own_address = None if link.via in (ONION, PROXIED) else link.address
        identity, book = self.identity.of_network(link.network), self._context.part(link.network)
        ours = identity.version(services=self._context.onions.services)
        handshake = Handshake(ours, limits, self.bans.rules(own_address, self._rules))
        with self._cancelled_on_stop() as tasks:
            version = await run_handshake(stream, handshake, until=State.AGREED)
            info = peer_info(version, link, ours.services)
            with self.hub.reserve(info.key, link.direction):
                router = Router(stream, info, ledger=ledger, turns=self._turns, on_close=self.hub.remove)
                flows = [make(router) for make in self._flow_factories]
                flows += default_flows(router, self._context)
                if version.address is not None:
                    flows.insert(0, AdvertisedAddress(book, version.address))
                await run_handshake(stream, handshake)  # sends our Ready, so the flows must have subscribed
                if self.bans.of_peer(info) is not None:  # since it was checked
                    raise HandshakeError(Kind.BANNED, BANNED, by_peer=False)
                stream.lift_limits()
                self.hub.add(router, identity.id)
            self._routers.add(router)
            tasks.start_soon(self._run_router, router)
            for flow in flows:
                router.start_flow(flow)
            return info

    @contextmanager
    def _cancelled_on_stop(self) -> Generator[TaskGroup, None, None]:
        """Cancel the block, and raise a `HandshakeError`, when the adaptor stops."""
        if self._tasks is not None:
            with anyio.CancelScope() as scope:
                self._handshakes.add(scope)
                try:
                    yield self._tasks
                    return
                finally:
                    self._handshakes.discard(scope)
        raise HandshakeError(Kind.CLOSED, STOPPING, by_peer=False, silent=True)

    async def _run_router(self, router: Router) -> None:
        try:
            await router.run()
        except Exception as error:
            write_event(None, "warning", "flow.failed", peer=str(router.address), error=one_line(repr(error)))
            router.close(f"a flow failed: {type(error).__name__}")
        finally:
            self._routers.discard(router)
