"""A gRPC channel over any connector: a subclass of grpclib's that makes its own connections."""

from __future__ import annotations

import asyncio
import warnings
from functools import partial
from math import inf
from typing import TYPE_CHECKING, TypeVar, cast

import grpclib.client
from grpclib.const import Cardinality, Status
from grpclib.exceptions import GRPCError
from grpclib.metadata import Deadline

from ziggurat.services.channel.call import Call
from ziggurat.services.channel.client_protocol import ClientProtocol
from ziggurat.services.channel.home_loop import HomeLoop
from ziggurat.services.channel.metadata import request_template
from ziggurat.services.channel.reconnect import Reconnect
from ziggurat.services.channel.shared_dial import Expired
from ziggurat.services.channel.snapshot import ConnectionSnapshot, take_snapshot
from ziggurat.services.channel.state import ChannelState, StateChanges
from ziggurat.services.errors import ChannelClosed, ConnectError
from ziggurat.services.http2 import HeaderTemplate
from ziggurat.services.ledger import Ledger
from ziggurat.services.service import Connector

if TYPE_CHECKING:
    from types import TracebackType

    from grpclib.metadata import _MetadataLike  # pyright: ignore[reportPrivateUsage]

    from ziggurat.services.channel.endpoint import Endpoint

__all__ = ["Channel"]

NO_LOOP = object()
"""Stands for the loop in grpclib's part of a channel that is made before a loop runs. Nothing of it is used there."""

MAX_TEMPLATES = 512
"""Methods whose fields are remembered; a channel for a gateway may have any number."""

S = TypeVar("S")
R = TypeVar("R")


class Channel(grpclib.client.Channel):
    """A channel for generated stubs, created by `Endpoint.connect` or `Endpoint.connect_lazy`.

    A call dials if there is no connection. If the dial fails, the call raises ``GRPCError(Status.UNAVAILABLE)`` with
    the `ConnectError` as its ``__cause__``. A call whose deadline passes during a dial raises `asyncio.TimeoutError`,
    with the dial so far as its ``__cause__``. A call after `close` raises `ChannelClosed`.

    It may be made before a loop runs, and belongs to the first that it is used on.

    Raises:
        RuntimeError: trio is running here.
    """

    _reconnect: Reconnect

    def __init__(self, endpoint: Endpoint, connector: Connector) -> None:
        self._home = HomeLoop()
        uri = endpoint.uri
        make = partial(  # pyright: ignore[reportUnknownVariableType]
            super().__init__,  # pyright: ignore[reportUnknownMemberType]
            uri.host or "localhost",
            uri.port or None,
            codec=endpoint.codec,
            status_details_codec=endpoint.status_details_codec,
        )
        if self._home.loop is not None:
            make()  # grpclib asks for the running loop
        else:
            with warnings.catch_warnings():  # not otherwise: Python then forgets which warnings it has shown
                warnings.simplefilter("ignore", DeprecationWarning)
                make(loop=cast(asyncio.AbstractEventLoop, NO_LOOP))
        self._scheme, self._authority = endpoint.origin_parts
        self._endpoint = endpoint
        self._reconnect = Reconnect(endpoint, connector, self._home)
        options = endpoint.connection_options
        self.gzip = options.compression == "gzip"
        subtype = self._codec.__content_subtype__
        # Without a subtype for protobuf: googleapis/googleapis.github.io#27.
        self.content_type = "application/grpc" if subtype == "proto" else f"application/grpc+{subtype}"
        self._user_agent = options.user_agent
        self._templates: dict[tuple[str, bool], HeaderTemplate] = {}

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
        """Start a call, as in grpclib. Without ``timeout`` and ``deadline``, ``call_timeout`` applies.

        Raises:
            RuntimeError: the running loop is not the one that the channel was first used on.
        """
        self._home.check()
        if timeout is None and deadline is None:
            timeout = self._endpoint.call_timeout
        if timeout is not None and timeout != inf:
            own = Deadline.from_timeout(timeout)
            deadline = own if deadline is None else min(own, deadline)
        return Call(self, name, metadata, cardinality, request_type, reply_type, deadline)

    def template(self, method_name: str, gzip: bool) -> HeaderTemplate:
        """Return the fields that all requests for a method begin with.

        Args:
            method_name: the ``:path``.
            gzip: whether to announce that messages may be compressed.
        """
        key = (method_name, gzip)
        template = self._templates.get(key)
        if template is None:
            if len(self._templates) >= MAX_TEMPLATES:
                self._templates.clear()
            template = self._templates[key] = request_template(
                self._scheme, method_name, self._authority, self.content_type, self._user_agent, gzip=gzip
            )
        return template

    @property
    def protocol(self) -> ClientProtocol | None:
        """The connection that takes calls; ``None`` if a call has to wait for one."""
        return self._reconnect.protocol

    async def __connect__(self) -> ClientProtocol:  # type: ignore[override]
        """Return a connection that accepts calls; grpclib calls this for each call."""
        return await self.ready()

    async def ready(self, expired: Expired | None = None) -> ClientProtocol:
        """Return a connection that accepts calls, as `Reconnect.ready` does, but raise what a call raises.

        Raises:
            GRPCError: the dial failed.
            ChannelClosed: the channel was closed.
        """
        try:
            return await self._reconnect.ready(expired)
        except ConnectError as error:
            raise GRPCError(Status.UNAVAILABLE, str(error)) from error

    async def _create_connection(self) -> ClientProtocol:  # type: ignore[override]
        return await self.__connect__()  # grpclib's own method would bypass the connector

    @property
    def connected(self) -> bool:
        """Whether a call can start now, without a dial."""
        return self._reconnect.connected

    async def connect(self) -> None:
        """Dial now, unless connected. Make one attempt, regardless of ``wait_for_ready`` and the backoff.

        Raises:
            ConnectError: the dial failed.
            ChannelClosed: the channel was closed.
        """
        if not self.connected:
            await self._reconnect.dial(at_once=True)

    # -- state

    @property
    def state(self) -> ChannelState:
        """The state of the connection."""
        return self._reconnect.states.state

    def states(self) -> StateChanges:
        """Iterate over the current state and all later ones, up to SHUTDOWN. This does not dial."""
        return StateChanges(self._reconnect.states)

    async def wait_for_state(self, *states: ChannelState) -> ChannelState:
        """Wait until the state is one of ``states``, however briefly. This does not dial.

        Raises:
            ChannelClosed: the channel was closed, and SHUTDOWN is not one of them.
        """
        async for state in self.states():
            if state in states:
                return state
        raise ChannelClosed(f"the channel to {self._endpoint.uri} was closed")

    @property
    def ledger(self) -> Ledger | None:
        """The record of the last successful dial; ``None`` before the first."""
        return self._reconnect.ledger

    @property
    def last_failure(self) -> ConnectError | None:
        """The error of the last dial; ``None`` if it succeeded, and before the first dial.

        A dial that was cancelled because its callers left does not count.
        """
        return self._reconnect.failure

    @property
    def connections(self) -> tuple[ConnectionSnapshot, ...]:
        """What each open connection has done so far; draining ones are included."""
        return tuple(take_snapshot(protocol) for protocol in self._reconnect.open if not protocol.lost.is_set())

    # -- the end

    def close(self) -> None:
        """Close, as in grpclib. Calls end with ``StreamTerminatedError``; unsent bytes have ``linger`` seconds.

        Raises:
            RuntimeError: another loop is running than the one that the channel was first used on.
        """
        if self._home.may_be_used():
            self._reconnect.close()
        else:
            self._reconnect.states.enter(ChannelState.SHUTDOWN)

    async def aclose(self) -> None:
        """Close, and wait until the last byte is sent or ``linger`` seconds have passed.

        Raises:
            RuntimeError: the running loop is not the one that the channel was first used on.
        """
        self._home.check()
        await self._reconnect.aclose()

    async def __aenter__(self) -> Channel:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        try:
            reconnect = self._reconnect
        except AttributeError:  # __init__ raised
            return
        if self.state is ChannelState.SHUTDOWN or all(protocol.lost.is_set() for protocol in reconnect.open):
            reconnect.states.enter(ChannelState.SHUTDOWN)  # ends the iteration of watchers
            return
        message = f"Unclosed channel: {self!r}"
        warnings.warn(message, ResourceWarning, stacklevel=2)
        loop = self._home.loop
        if loop is not None and not loop.is_closed():
            self._reconnect.close()
            loop.call_exception_handler({"message": message})

    def __repr__(self) -> str:
        return f"Channel({str(self._endpoint.uri)!r}, {self.state.value})"
