"""Keep a channel connected: shared dials, backoff, and redials after a loss.

A call dials if there is no connection, concurrent calls share one dial, a failed dial is not repeated until the backoff
is over, and a lost or draining connection is replaced by a dial through the whole stack (`EndpointDial`).
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from anyio import move_on_after

from ziggurat.services.channel.client_protocol import ClientProtocol
from ziggurat.services.channel.dial import EndpointDial
from ziggurat.services.channel.home_loop import HomeLoop
from ziggurat.services.channel.shared_dial import Expired, SharedDial
from ziggurat.services.channel.state import ChannelState, StateChanges, StateWatch
from ziggurat.services.errors import ChannelClosed, ConnectError, copy_error
from ziggurat.services.ledger import Ledger
from ziggurat.services.service import Connector

if TYPE_CHECKING:
    from ziggurat.services.channel.endpoint import Endpoint

__all__ = ["Reconnect"]

LOG = logging.getLogger("ziggurat.services")

CLEANUP_LIMIT = 2.0
"""How long `Reconnect.aclose` waits for a cancelled dial, in seconds; a connector may be slow to clean up."""


class Reconnect:
    """The connection of a channel.

    Attributes:
        states: the state of the connection.
        protocol: the connection for new calls; ``None`` if there is none.
        open: all connections that are not lost, including draining ones.
        ledger: the record of the last successful dial; ``None`` before the first.
        failure: the error of the last dial; ``None`` after a success.
    """

    __slots__ = (
        "__weakref__",
        "_connector",
        "_dialling",
        "_endpoint",
        "_failures",
        "_home",
        "_options",
        "_retry_at",
        "_tasks",
        "failure",
        "ledger",
        "open",
        "protocol",
        "states",
    )

    def __init__(self, endpoint: Endpoint, connector: Connector, home: HomeLoop) -> None:
        self.states = StateWatch()
        self.protocol: ClientProtocol | None = None
        self.open: tuple[ClientProtocol, ...] = ()
        self.ledger: Ledger | None = None
        self.failure: ConnectError | None = None
        self._endpoint = endpoint
        self._connector = connector
        self._home = home
        self._options = endpoint.connection_options
        self._dialling: SharedDial[ClientProtocol] | None = None
        self._tasks: dict[asyncio.Task[None], None] = {}  # an empty set takes 216 bytes
        self._failures = 0  # in a row
        self._retry_at = 0.0

    @property
    def connected(self) -> bool:
        """Whether a call can start now, without a dial."""
        return self.protocol is not None and self.protocol.accepting

    async def ready(self, expired: Expired | None = None) -> ClientProtocol:
        """Return a connection that accepts calls, dialling if there is none.

        Args:
            expired: called when this is cancelled: whether the reason is a call's deadline. The
                `asyncio.CancelledError` then has a `ConnectError` as its ``__cause__``: the state of the dial or,
                during the backoff, the last error.

        Raises:
            ConnectError: the dial failed.
            ChannelClosed: the channel was closed.
        """
        while True:
            protocol = self.protocol
            if protocol is not None and protocol.accepting:
                return protocol
            try:
                await self.dial(expired)
            except ConnectError as error:
                # Other errors would only repeat.
                if not (self._endpoint.wait_for_ready and error.transient):
                    raise
                await self._pause(expired, error)

    async def dial(self, expired: Expired | None = None, *, at_once: bool = False) -> None:
        """Join the dial under way or start one.

        Args:
            expired: as in `ready`.
            at_once: dial even during the backoff, rather than raise the last error again.
        """
        self._home.check()
        if self.states.state is ChannelState.SHUTDOWN:
            raise ChannelClosed(f"the channel to {self._endpoint.uri} was closed")
        if self._dialling is None:
            if self.failure is not None and self._backing_off and not at_once:
                raise copy_error(self.failure)
            self.states.enter(ChannelState.CONNECTING)
            attempt = self._new_dial()
            shared = self._dialling = SharedDial(
                on_end=partial(self._dial_ended, attempt), discard=ClientProtocol.abort, cut_off=attempt.cut_off
            )
            task = shared.start(attempt.run)  # with an eager task factory the dial may have ended now
            self._tasks[task] = None
            task.add_done_callback(self._task_ended)
        else:
            shared = self._dialling
        await shared.wait(expired)

    async def dial_here(self) -> None:
        """Dial in the caller's task and context, and thus within the caller's open dial. For the first dial only.

        Raises:
            ConnectError: the dial failed.
        """
        attempt = self._new_dial()
        self.states.enter(ChannelState.CONNECTING)
        self._dial_ended(attempt, await attempt.run())

    def close(self) -> None:
        """Close all connections and cancel the dial under way."""
        self.states.enter(ChannelState.SHUTDOWN)
        self.protocol = None
        if self._dialling is not None:
            self._dialling.give_up(ChannelClosed(f"the channel to {self._endpoint.uri} was closed during the dial"))
        for protocol in self.open:
            protocol.close()

    async def aclose(self) -> None:
        """Close, and wait until the last byte is sent or ``linger`` seconds have passed."""
        closing = self.open
        self.close()
        for protocol in closing:  # all are closing already, so they linger at the same time
            await protocol.aclose()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=CLEANUP_LIMIT)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)

    def _new_dial(self) -> EndpointDial:
        return EndpointDial(self._endpoint, self._connector, self._options, _Review(self))

    def _dial_ended(self, attempt: EndpointDial, outcome: ClientProtocol | ConnectError | None) -> None:
        self._dialling = None
        if isinstance(outcome, ConnectError):
            self.failure = outcome
            self._failures += 1
            self._retry_at = self._now + self._endpoint.backoff.delay(self._failures)
            self.states.enter(ChannelState.TRANSIENT_FAILURE)
        elif outcome is None:  # cancelled
            self.states.enter(ChannelState.TRANSIENT_FAILURE if self._backing_off else ChannelState.IDLE)
        else:
            self.failure, self._failures, self._retry_at = None, 0, 0.0
            self.protocol, self.ledger = outcome, attempt.ledger
            self.open += (outcome,)
            self.states.enter(ChannelState.READY)

    @property
    def _backing_off(self) -> bool:
        return self._now < self._retry_at

    @property
    def _now(self) -> float:
        return self._home.check().time()

    async def _pause(self, expired: Expired | None, error: ConnectError) -> None:
        """Wait until the backoff is over, another call dials, or the channel is closed."""
        try:
            with move_on_after(self._retry_at - self._now):
                async for state in StateChanges(self.states):
                    if state is not ChannelState.TRANSIENT_FAILURE:
                        return
        except asyncio.CancelledError as cancelled:
            if expired is not None and expired():
                cancelled.__cause__ = copy_error(error)
            raise

    def review(self) -> None:
        """Drop lost and draining connections, and learn from why they were lost."""
        for protocol in self.open:
            if protocol.lost.is_set() and protocol.too_many_pings:
                self._calm_down(protocol)
        self.open = tuple(protocol for protocol in self.open if not protocol.lost.is_set())
        if self.protocol is not None and not self.protocol.accepting:
            self.protocol = None  # a draining connection stays open until its calls have finished
            self.states.enter(ChannelState.IDLE)

    def _calm_down(self, protocol: ClientProtocol) -> None:
        """A server has had too many PINGs: ping half as often from now on (gRFC A8)."""
        interval = protocol.options.http2_keepalive_interval
        if interval is None:
            return
        self._options = replace(self._options, http2_keepalive_interval=2 * interval)
        LOG.warning(
            "%s closed the connection with too_many_pings: HTTP/2 keepalive PINGs are now %g s apart, not %g s "
            "(http2_keepalive_interval)", self._endpoint.uri, 2 * interval, interval,
        )  # fmt: skip


class _Review:
    """Calls `Reconnect.review`. A connection must not keep its channel alive: a dropped one closes when collected."""

    __slots__ = ("_reference",)

    def __init__(self, reconnect: Reconnect) -> None:
        self._reference = weakref.ref(reconnect)

    def __call__(self) -> None:
        reconnect = self._reference()
        if reconnect is not None:
            reconnect.review()
