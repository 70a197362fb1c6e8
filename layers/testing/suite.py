"""What the scenarios of `check_layer` share: they dial through a layer, count what is left, and say what they await."""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import anyio
from anyio import aclose_forcefully
from anyio.abc import ByteStream
from anyio.lowlevel import checkpoint

from ziggurat.layers.layer import Layer, apply_layer
from ziggurat.layers.testing import rules
from ziggurat.layers.testing.probe import Peer, Probe
from ziggurat.layers.testing.stepping import Outcome, call
from ziggurat.services.errors import ConnectError
from ziggurat.services.service import Connector
from ziggurat.services.uri import Uri

__all__ = ["Refusals", "Settings", "Suite", "virtual_time"]

REPORT_INTERVAL = 5.0
"""Seconds that a dial takes before the suite says on stderr what it waits for, and then again."""

Refusals: TypeAlias = type[ConnectError] | tuple[type[ConnectError], ...]
Scenario: TypeAlias = Callable[[Callable[..., Probe]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Settings:
    """The arguments of `check_layer`, and whether time is virtual."""

    layer: Layer
    uri: Uri
    peer: Peer | None
    inner_uri: Uri | None
    transparent: bool
    may_refuse: Refusals | None
    patience: float
    virtual: bool


class Suite:
    """Runs scenarios, each with probes of its own."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._doing: str | None = None
        self._since = 0.0

    async def run(self, scenario: Scenario) -> None:
        """Run one scenario and check that it leaves no task."""
        before = rules.tasks()
        failure: Exception | None = None
        with ExitStack() as probes:
            # The failure is carried out of the task group by hand, so as not to become an ExceptionGroup.
            async with anyio.create_task_group() as far_ends:

                def new_probe(*, ours: bool = True) -> Probe:
                    return probes.enter_context(Probe(far_ends, self.settings.peer, ours=ours))

                far_ends.start_soon(self._report)
                try:
                    await scenario(new_probe)
                except Exception as error:
                    failure = error
                far_ends.cancel_scope.cancel()
        if failure is not None:
            raise failure
        await rules.no_task_left(before)

    @contextmanager
    def waiting(self, what: str) -> Generator[None, None, None]:
        """Note what the suite waits for, for the length of a ``with`` block."""
        self._doing, self._since = what, time.monotonic()
        try:
            yield
        finally:
            self._doing = None

    async def _report(self) -> None:
        while True:
            await anyio.sleep(REPORT_INTERVAL)
            waited = time.monotonic() - self._since
            # In virtual time the sleep is over at once.
            if self._doing is not None and waited >= 0.9 * REPORT_INTERVAL:
                sys.stderr.write(
                    f"check_layer({self.settings.layer!r}) has waited {waited:.0f} s for {self._doing} "
                    f"(patience is {self.settings.patience:g} s)\n"
                )
                sys.stderr.flush()

    def apply(self, probe: Probe) -> Connector:
        """Apply the layer to a probe."""
        return apply_layer(self.settings.layer, probe)

    async def call(
        self,
        connector: Connector,
        what: str,
        *,
        cancel_at: int | None = None,
        cancel_when: anyio.Event | None = None,
    ) -> Outcome:
        """Dial. ``what`` says what happens in the dial, e.g. ``inner hangs``."""
        with self.waiting(f"a dial: {what}"):
            return await call(
                connector,
                self.settings.uri,
                patience=self.settings.patience,
                cancel_at=cancel_at,
                cancel_when=cancel_when,
            )

    async def call_after_failures(
        self, connector: Connector, probe: Probe, what: str, *, cancel_at: int | None = None, wait_out: bool = False
    ) -> tuple[Connector, Outcome]:
        """Dial where an earlier dial may have failed: a layer that refuses is applied anew, with fresh state.

        With ``wait_out`` a dial that hangs goes on for as long as the layer lets it.
        """
        fresh = False
        while True:
            calls = len(probe.calls)
            endless = probe.watch_limits(self.settings.patience, self.settings.virtual) if wait_out else None
            outcome = await self.call(connector, what, cancel_at=cancel_at, cancel_when=endless)
            if not self.refused(outcome, probe, calls):
                return connector, outcome
            rules.nothing_left(probe, "the layer refused a dial", rules.FREE_ON_EXIT)
            rules.require(
                not fresh,
                f"the layer refused the first dial of a fresh application ({outcome.error!r}): it may refuse only "
                "after a failure, and its state belongs in what layer() returns",
                outcome.error,
            )
            connector, fresh = self.apply(probe), True

    def refused(self, outcome: Outcome, probe: Probe, calls: int) -> bool:
        """Whether the layer refused a dial as it may: with one of these errors, and without calling inner."""
        kinds = self.settings.may_refuse
        return kinds is not None and isinstance(outcome.error, kinds) and len(probe.calls) == calls

    async def answered(self, connector: Connector, probe: Probe, situation: str) -> ByteStream:
        """Dial; the layer must return a stream."""
        calls = len(probe.calls)
        outcome = await self.call(connector, situation)
        if isinstance(outcome.error, ConnectError) and len(probe.calls) == calls:
            kind = type(outcome.error).__name__
            hint = (
                f"a layer that refuses dials after failures needs may_refuse={kind}"
                if self.settings.may_refuse is None
                else "it may refuse only after a failure, which a cancellation by the caller is not"
            )
            rules.fail(
                f"{situation}, but the layer raised {outcome.error!r} without calling inner: {hint}", outcome.error
            )
        return rules.answered(outcome, probe, situation, self.settings.patience)

    async def works_again(
        self, connector: Connector, probe: Probe, situation: str, *, after_failure: bool = False
    ) -> None:
        """Dial once more, with nothing in the way. After a failure, the layer may refuse if it was said so."""
        probe.reset()
        if after_failure and self.settings.may_refuse is not None:
            calls = len(probe.calls)
            outcome = await self.call(connector, situation)
            if not self.refused(outcome, probe, calls):
                await aclose_forcefully(rules.answered(outcome, probe, situation, self.settings.patience))
        else:
            await aclose_forcefully(await self.answered(connector, probe, situation))
        rules.nothing_left(probe, "the layer's stream was closed", "closing it must close inner's stream")


async def virtual_time() -> bool:
    """Whether the event loop's clock stands still while real time passes, as in tests that jump."""
    before = anyio.current_time()
    time.sleep(0.02)  # noqa: ASYNC251 - the loop has to stand still
    await checkpoint()  # some loops read the clock once a cycle
    return anyio.current_time() - before < 0.01
