"""A gRPC channel over any connector: grpclib's, with another way to its connection.

`Channel._dial` is the story of a dial. The rest of the class decides when one is told: a call dials when there is no
connection, all calls share one dial, a failed dial is not repeated before the backoff is over, and a lost connection
is made again through the whole stack.
"""

from __future__ import annotations

import asyncio
import warnings
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar, cast

import grpclib.client
from anyio import move_on_after
from grpclib.const import Cardinality, Status
from grpclib.exceptions import GRPCError
from grpclib.metadata import Deadline
from multidict import MultiDict

from ziggurat.services.channel.adoption import adopt
from ziggurat.services.channel.answer import answer, require_tls
from ziggurat.services.channel.call import Call
from ziggurat.services.channel.protocol import ClientProtocol
from ziggurat.services.channel.shared_dial import SharedDial, own_copy
from ziggurat.services.channel.state import ChannelState, StateChanges, StateWatch
from ziggurat.services.errors import ChannelClosed, ConnectError
from ziggurat.services.ledger import Ledger, Limit, dial, phase
from ziggurat.services.service import Connector
from ziggurat.services.stream import closing_on_error

if TYPE_CHECKING:
    from types import TracebackType

    from grpclib.metadata import _Metadata, _MetadataLike  # pyright: ignore[reportPrivateUsage]

    from ziggurat.services.channel.endpoint import Endpoint

__all__ = ["Channel"]

S = TypeVar("S")
R = TypeVar("R")

CLEANUP_LIMIT = 2.0
"""Seconds that `Channel.aclose` waits for a dial that it cancelled; a connector may be slow to let go."""


class Channel(grpclib.client.Channel):
    """What generated stubs take; made by `Endpoint.connect` or `Endpoint.connect_lazy`.

    A call that finds no connection dials, and a failed dial reaches it as ``GRPCError(Status.UNAVAILABLE)`` with the
    `ConnectError` as ``__cause__``. A call after `close` raises `ChannelClosed`.

    Raises:
        RuntimeError: not made on a running asyncio loop, which grpclib needs.
    """

    _protocol: ClientProtocol | None

    def __init__(self, endpoint: Endpoint, connector: Connector) -> None:
        self._states = StateWatch()
        self._alive: set[ClientProtocol] = set()
        _require_asyncio()
        uri = endpoint.uri
        super().__init__(  # pyright: ignore[reportUnknownMemberType]
            uri.host or "localhost",
            uri.port or None,
            codec=endpoint.codec,
            status_details_codec=endpoint.status_details_codec,
        )
        self._scheme, self._authority = endpoint.origin_parts
        self._endpoint = endpoint
        self._connector = connector
        self._options = endpoint.connection_options
        self._dialling: SharedDial[ClientProtocol] | None = None
        self._dial_tasks: set[asyncio.Task[None]] = set()
        self._ledger: Ledger | None = None
        self._failure: ConnectError | None = None  # of the last dial, if it failed
        self._failures = 0  # in a row
        self._retry_at = 0.0

    # -- calls

    def request(
        self,
        name: str,
        cardinality: Cardinality,
        request_type: type[S],
        reply_type: type[R],
        *,
        timeout: float | None = None,
        deadline: Deadline | None = None,
        metadata: _MetadataLike | None = None,
    ) -> Call[S, R]:
        """Start a call, as in grpclib; ``call_timeout`` is the deadline of one that brings none."""
        if timeout is None and deadline is None:
            timeout = self._endpoint.call_timeout
        if timeout is not None:
            own = Deadline.from_timeout(timeout)
            deadline = own if deadline is None else min(own, deadline)
        return Call(
            self,
            name,
            cast("_Metadata", MultiDict(metadata or ())),
            cardinality,
            request_type,
            reply_type,
            codec=self._codec,
            status_details_codec=self._status_details_codec,
            dispatch=self.__dispatch__,
            deadline=deadline,
        )

    async def __connect__(self) -> ClientProtocol:
        """Answer with a connection that takes new calls; grpclib asks for one at each call."""
        while True:
            protocol = self._protocol
            if protocol is not None and protocol.accepting:
                return protocol
            try:
                await self._dialled()
            except ConnectError as error:
                # Waiting does not mend what is not transient.
                if not (self._endpoint.wait_for_ready and error.transient):
                    raise GRPCError(Status.UNAVAILABLE, str(error)) from error
                await self._pause()

    async def _create_connection(self) -> ClientProtocol:
        return await self.__connect__()  # grpclib's own way would go round the connector

    async def connect(self) -> None:
        """Dial now, unless connected: one attempt, whatever ``wait_for_ready`` and the backoff say.

        Raises:
            ConnectError: the dial failed.
            ChannelClosed: the channel was closed.
        """
        if self._protocol is None or not self._protocol.accepting:
            await self._dialled(at_once=True)

    # -- a dial

    async def _dial(self) -> ClientProtocol:
        """Dial once: down the stack to an open stream, then up to the peer's SETTINGS."""
        target, settings = self._endpoint.uri, self._endpoint
        with dial(target) as current, Limit(settings.connect_timeout, "connect_timeout"):
            stream = await answer(self._connector, target, current.ledger)
            async with closing_on_error(stream):
                require_tls(current.ledger)  # before the first byte of ours
                with Limit(settings.http2_timeout, "http2_timeout") as limit, phase("http2", limit=limit):
                    current.ledger.sent_to_target = True
                    protocol = await adopt(stream, self._options, on_change=_weakly(self._review))
        self._ledger = current.ledger
        return protocol

    async def _dialled(self, *, at_once: bool = False) -> None:
        """Join the dial that is under way or begin one; while backing off, raise the last error instead."""
        if self.state is ChannelState.SHUTDOWN:
            raise ChannelClosed(f"the channel to {self._endpoint.uri} was closed")
        if self._dialling is None:
            if self._failure is not None and self._backing_off and not at_once:
                raise own_copy(self._failure)
            self._states.enter(ChannelState.CONNECTING)
            self._dialling = SharedDial(self._dial, on_end=self._dial_ended, discard=ClientProtocol.abort)
            self._dial_tasks.add(self._dialling.task)
            self._dialling.task.add_done_callback(self._dial_tasks.discard)
        await self._dialling.wait()

    def _dial_ended(self, outcome: ClientProtocol | ConnectError | None) -> None:
        self._dialling = None
        if isinstance(outcome, ConnectError):
            self._failure = outcome
            self._failures += 1
            self._retry_at = self._loop.time() + self._endpoint.backoff.delay(self._failures)
            self._states.enter(ChannelState.TRANSIENT_FAILURE)
        elif outcome is None:  # given up
            self._states.enter(ChannelState.TRANSIENT_FAILURE if self._backing_off else ChannelState.IDLE)
        else:
            self._failure, self._failures, self._retry_at = None, 0, 0.0
            self._protocol = outcome
            self._alive.add(outcome)
            self._states.enter(ChannelState.READY)

    @property
    def _backing_off(self) -> bool:
        return self._loop.time() < self._retry_at

    async def _pause(self) -> None:
        """Wait until the backoff is over, or somebody dials, or the channel is closed."""
        with move_on_after(self._retry_at - self._loop.time()):
            async for state in self.states():
                if state is not ChannelState.TRANSIENT_FAILURE:
                    return

    def _review(self) -> None:
        """See what has become of the connections: one drains, or was lost."""
        self._alive = {protocol for protocol in self._alive if not protocol.lost.is_set()}
        if self._protocol is not None and not self._protocol.accepting:
            self._protocol = None  # the old one stays among the living until its calls have finished
            self._states.enter(ChannelState.IDLE)

    # -- state

    @property
    def state(self) -> ChannelState:
        """What the channel is doing about its connection."""
        return self._states.state

    def states(self) -> StateChanges:
        """Iterate over the state and all its changes, from now to SHUTDOWN; looking does not dial."""
        return StateChanges(self._states)

    async def wait_for_state(self, *states: ChannelState) -> ChannelState:
        """Wait until the state is one of ``states``, or has been for a moment; waiting does not dial.

        Raises:
            ChannelClosed: the channel was closed, and SHUTDOWN is not one of them.
        """
        async for state in self.states():
            if state in states:
                return state
        raise ChannelClosed(f"the channel to {self._endpoint.uri} was closed")

    @property
    def ledger(self) -> Ledger | None:
        """The record of the last dial that succeeded; ``None`` before there was one."""
        return self._ledger

    # -- the end

    def close(self) -> None:
        """Close, as in grpclib: calls end with ``StreamTerminatedError``, unsent bytes have ``linger`` seconds."""
        self._states.enter(ChannelState.SHUTDOWN)
        self._protocol = None
        if self._dialling is not None:
            self._dialling.give_up(ChannelClosed(f"the channel to {self._endpoint.uri} was closed during the dial"))
        for protocol in tuple(self._alive):
            protocol.close()

    async def aclose(self) -> None:
        """Close, and return when the last byte is out or ``linger`` is over."""
        alive = tuple(self._alive)
        self.close()
        for protocol in alive:  # each has been told by now, so they linger at the same time
            await protocol.aclose()
        if self._dial_tasks:
            await asyncio.wait(tuple(self._dial_tasks), timeout=CLEANUP_LIMIT)

    async def __aenter__(self) -> Channel:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        if self.state is ChannelState.SHUTDOWN or all(protocol.lost.is_set() for protocol in self._alive):
            self._states.enter(ChannelState.SHUTDOWN)  # for who still looks at the states
            return
        message = f"Unclosed channel: {self!r}"
        warnings.warn(message, ResourceWarning, stacklevel=2)
        if not self._loop.is_closed():
            self.close()
            self._loop.call_exception_handler({"message": message})

    def __repr__(self) -> str:
        return f"Channel({str(self._endpoint.uri)!r}, {self.state.value})"


def _require_asyncio() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        message = "the channel needs asyncio: grpclib runs on nothing else; make it inside a running asyncio loop"
        raise RuntimeError(message) from None


def _weakly(method: Callable[[], None]) -> Callable[[], None]:
    # A connection must not keep its channel alive: a channel that is dropped is to be collected, and closes then.
    reference = weakref.WeakMethod(method)

    def call() -> None:
        alive = reference()
        if alive is not None:
            alive()

    return call
