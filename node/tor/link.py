"""The control connection that is kept to Tor, with what lives as long as it does.

A lost connection is opened again after a backoff, and then the service is published again with the same key. While Tor
is away or starts, the node's dials wait for `TorLink.wait_up`: nothing is dialled another way.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress

import anyio
from anyio.abc import TaskGroup

from ziggurat.node.tor.circuits import Circuit, parse_circuits
from ziggurat.node.tor.controller import (
    Bootstrap,
    Circuits,
    Controller,
    StreamChange,
    TorError,
    TorEvent,
    TorRefused,
)
from ziggurat.node.tor.onion_publisher import OnionPublisher
from ziggurat.node.tor.socks_port import choose_socks_port
from ziggurat.node.tor.status import TorStatus
from ziggurat.node.tor.streams import StreamTable
from ziggurat.services import Backoff, Uri

__all__ = ["TorLink"]

BACKOFF = Backoff(1.0, factor=1.5, maximum=60.0)
"""Bitcoin Core's begins and grows in the same way."""

ALIVE_INTERVAL = 60.0
"""Seconds between two questions whether Tor is still there. A host that was switched off closes no connection, and then
an onion service would be believed in for ever."""


class TorLink:
    """Keeps a control connection: `run` it, and give ``onion`` a service to publish.

    Events: those of `TorStatus` and of `OnionPublisher`.

    Args:
        control: the address of the control port.
        open_controller: opens an authenticated connection; raises `TorError`.
        take_socks: called with Tor's SOCKS port when it is told first, and when it is another; ``None`` does not ask
            for it.
        backoff: between two attempts to reach the control port, and to publish what Tor refuses.

    Attributes:
        status: Tor's state.
        socks: the SOCKS port that Tor names; ``None`` before, and if it is not asked.
        onion: our onion service.
        streams: the streams that Tor has told of, to find the circuit of a tunnel.
    """

    def __init__(
        self,
        control: Uri,
        open_controller: Callable[[], AbstractAsyncContextManager[Controller]],
        *,
        take_socks: Callable[[Uri], object] | None = None,
        backoff: Backoff = BACKOFF,
    ) -> None:
        self.status = TorStatus(control.authority)
        self.socks: Uri | None = None
        self.onion = OnionPublisher(backoff)
        self.streams = StreamTable()
        self._control = control
        self._open = open_controller
        self._take_socks = take_socks
        self._backoff = backoff
        self._version = ""
        self._bootstrapped = anyio.Event()
        self._asked = False  # whether this connection has told all that it is asked
        self._connection: tuple[Controller, TaskGroup] | None = None

    @property
    def connected(self) -> bool:
        """Whether there is a control connection, so that ``streams`` is up to date."""
        return self._connection is not None

    async def circuits(self) -> Mapping[str, Circuit]:
        """Ask Tor for its circuits.

        Raises:
            TorError: there is no connection, or Tor does not answer.
        """
        if self._connection is None:
            raise TorError("there is no connection to Tor's control port")
        (controller, tasks), answers, done = self._connection, list[str](), anyio.Event()

        async def ask() -> None:
            try:
                answers.append(await controller.info("circuit-status"))
            except TorError:
                pass  # there is no answer, as is said below
            finally:
                done.set()

        # Not in the caller's task: a command that is cancelled would leave its reply to the next one.
        tasks.start_soon(ask)
        await done.wait()
        if not answers:
            raise TorError("Tor does not tell its circuits")
        return parse_circuits(answers[0])

    async def wait_up(self) -> None:
        """Wait until Tor can be used; or, where it is there but not ready, now and then for a try."""
        await self.status.wait_up()

    async def run(self) -> None:
        """Keep the connection until cancelled."""
        failures = 0
        while True:
            try:
                async with self._open() as controller:
                    error = await self._use(controller)
            except TorError as failed:
                error = failed
            if self.status.is_up:
                failures = 0
            self.status.down(str(error))
            self.onion.withdraw("the connection to Tor's control port was lost")
            failures += 1
            await anyio.sleep(self._backoff.delay(failures))

    # -- one connection

    async def _use(self, controller: Controller) -> TorError:
        """Use a connection until it is lost, and return why."""
        error = TorError("Tor closed the control connection")
        self._bootstrapped, self._asked = anyio.Event(), False
        async with anyio.create_task_group() as tasks:

            async def follow(run: Callable[[Controller], Awaitable[None]]) -> None:
                nonlocal error
                try:
                    await run(controller)
                except TorError as failed:
                    error = failed
                tasks.cancel_scope.cancel()

            async def drive(controller: Controller) -> None:
                await self._follow(controller, tasks)

            tasks.start_soon(follow, drive)
            tasks.start_soon(follow, _keep_asking)
            tasks.start_soon(self.status.keep_trying)
            try:
                await controller.wait_closed()
            finally:
                self._connection = None
            tasks.cancel_scope.cancel()
        return error

    async def _follow(self, controller: Controller, tasks: TaskGroup) -> None:
        self.streams.doubt()
        await controller.watch(self._take)  # first, so that no step is missed
        if len(self.streams):
            with suppress(TorRefused):  # they are forgotten as they end
                self.streams.refresh(await controller.info("stream-status"))
        self._connection = controller, tasks
        self._take(Bootstrap.parse(await controller.info("status/bootstrap-phase")))
        if not self._bootstrapped.is_set():
            with suppress(TorError):  # it may have none yet
                await self._tell_socks(controller)
            await self._bootstrapped.wait()
        await self._tell_socks(controller)
        self._version, self._asked = controller.version, True
        self._say_up()
        await self.onion.keep_published(controller)

    async def _tell_socks(self, controller: Controller) -> None:
        if self._take_socks is None:
            return
        listeners, settings = await controller.info("net/listeners/socks"), list[str]()
        with suppress(TorRefused):  # only flags are missed
            settings = await controller.setting("SocksPort")
        chosen = choose_socks_port(listeners, self._control, settings)
        if chosen != self.socks:
            self.socks = chosen
            self._take_socks(chosen)

    def _say_up(self) -> None:
        self.status.up(self._version, None if self.socks is None else self.socks.authority)

    def _take(self, event: TorEvent) -> None:
        if isinstance(event, Bootstrap):
            self.status.bootstrap(event)
            if event.done:
                self._bootstrapped.set()
        elif isinstance(event, Circuits):
            if event.reason is not None:
                self.status.down(f"Tor can build no circuits ({event.reason})")
            elif self._asked:
                self._say_up()
        elif isinstance(event, StreamChange):
            self.streams.take(event)
        else:
            self.onion.take(event)


async def _keep_asking(controller: Controller) -> None:
    """Ask Tor now and then whether it is there, until it is not."""
    while True:
        await anyio.sleep(ALIVE_INTERVAL)
        await controller.check_alive()
