"""The scenarios of `check_layer`: what happens to a dial, and what a layer must then do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import cast

import anyio
from anyio import EndOfStream, aclose_forcefully
from anyio.abc import ByteStream
from anyio.lowlevel import checkpoint

from ziggurat.layers.testing import rules
from ziggurat.layers.testing.faults import EofStream, FaultStream, ResetStream
from ziggurat.layers.testing.memory import MemoryStream
from ziggurat.layers.testing.probe import Probe, ProbeAttribute
from ziggurat.layers.testing.stepping import call
from ziggurat.layers.testing.suite import Settings, Suite
from ziggurat.services.errors import ConnectError
from ziggurat.services.service import Connector
from ziggurat.services.stream import ObservedStream

__all__ = ["Scenarios"]

MAX_STEPS = 5000
EVERY_BYTE = 64
"""The stream breaks at each of this many first bytes of a conversation, and at growing distances beyond them."""
SILENCE = 100
"""Cycles of the event loop after which a far end that was sent nonsense has nothing more to say."""


class ForeignError(Exception):
    """An error type that the library does not know."""


class Scenarios(Suite):
    """The scenarios, and the order in which they run."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.inner_uri = settings.uri if settings.inner_uri is None and settings.peer is None else settings.inner_uri
        self.spoken = (0, 0)  # bytes that the layer received and sent before it returned a stream

    async def run_all(self, *, shared: bool) -> None:
        """Run every scenario; with ``shared`` without the one in which applications dial concurrently."""
        scenarios = [
            self.passes_the_response,  # first: it sets `spoken`
            self.works_on_any_leaf,
            self.passes_errors,
            self.passes_the_cancellation,
            self.survives_cancellation,
            self.survives_cancellation_when_inner_fails,
            self.survives_broken_streams,
            self.reports_its_own_limits,
            self.keeps_its_inner_apart,
        ]
        for scenario in scenarios if shared else [*scenarios, self.keeps_its_state_apart]:
            await self.run(scenario)

    async def passes_the_response(self, new_probe: Callable[..., Probe]) -> None:
        probe = new_probe()
        connector = self.apply(probe)
        rules.require(not probe.calls, "layer() itself called inner: call inner only when the connector is called")
        for how in (_aclose, aclose_forcefully):
            stream = await self.answered(connector, probe, "inner returned a stream")
            opened = cast(ObservedStream, probe.opened[-1])
            self.spoken = opened.bytes_received, opened.bytes_sent
            rules.require(
                self.inner_uri in (None, probe.calls[-1]),
                f"the layer called inner with {probe.calls[-1]}, not {self.inner_uri}: pass the request through "
                "(or pass inner_uri= to check_layer)",
            )
            rules.require(
                stream is opened or not self.settings.transparent,
                f"the layer wrapped one of our streams in {stream!r}: use its on_close() and counters, and return it",
            )
            rules.ledger_arrives(stream, probe, self.settings.uri)
            await self._check_stream(stream, probe, how)

    async def works_on_any_leaf(self, new_probe: Callable[..., Probe]) -> None:
        probe = new_probe(ours=False)
        connector = self.apply(probe)
        stream = await self.answered(connector, probe, "inner is a plain function and returned a foreign stream")
        await self._check_stream(stream, probe, _aclose)

    async def passes_errors(self, new_probe: Callable[..., Probe]) -> None:
        probe = new_probe()
        connector = self.apply(probe)
        for kind in (ConnectError, ForeignError):
            probe.error = error = kind("check_layer made inner fail")
            connector, outcome = await self.call_after_failures(connector, probe, f"inner raises {kind.__name__}")
            rules.error_passes(outcome, error)
            if isinstance(outcome.error, ConnectError):
                ledger = outcome.error.ledger
                own = ledger is probe.ledgers[-1] and outcome.error.target == self.settings.uri
                rules.same_dial(own, self.settings.uri, outcome.error)
            rules.nothing_left(probe, f"inner raised {kind.__name__}", rules.FREE_ON_EXIT)
            situation = f"inner raised {kind.__name__} in an earlier dial"
            await self.works_again(connector, probe, situation, after_failure=True)

    async def passes_the_cancellation(self, new_probe: Callable[..., Probe]) -> None:
        probe = new_probe()
        connector = self.apply(probe)
        probe.hang = self.settings.patience
        outcome = await self.call(connector, "inner hangs, and the caller is cancelled", cancel_when=probe.hanging)
        rules.cancelled(outcome, "while inner was waiting")
        rules.nothing_left(probe, "the caller was cancelled while inner was waiting", rules.FREE_ON_EXIT)
        await self.works_again(connector, probe, "an earlier dial was cancelled while inner was waiting")

    async def survives_cancellation(self, new_probe: Callable[..., Probe]) -> None:
        await self._cancel_at_every_await(new_probe(), None)

    async def survives_cancellation_when_inner_fails(self, new_probe: Callable[..., Probe]) -> None:
        await self._cancel_at_every_await(new_probe(), ConnectError)

    async def reports_its_own_limits(self, new_probe: Callable[..., Probe]) -> None:
        """Let inner hang, and then the far end, until a limit of the layer's own runs out.

        In real time, only if such a limit shows: a layer without one would hang as long as inner does.
        """
        probe = new_probe()
        connector = self.apply(probe)
        last = self.spoken[0] - 1
        mute = [] if last < 0 else sorted({0, last}) if self.settings.virtual else [0]
        for position in (None, *mute):
            if position is None:
                probe.hang, where = 100 * self.settings.patience, "inner hung"
            else:
                probe.hang, where = None, f"inner's stream went silent after {position} received bytes"
                probe.fault = partial(_Mute, probe, position)
            what = f"{where}, which the layer may end by a limit of its own; shorten it, or use virtual time"
            connector, outcome = await self.call_after_failures(connector, probe, what, wait_out=True)
            rules.own_failure(outcome, where, cancelled=probe.endless.is_set())
            if outcome.kind == "answered":
                await aclose_forcefully(outcome.stream)
            rules.nothing_left(probe, where, rules.CLOSE_ON_ERROR)
        await self.works_again(connector, probe, "earlier dials had hung", after_failure=True)

    async def survives_broken_streams(self, new_probe: Callable[..., Probe]) -> None:
        probe = new_probe()
        connector = self.apply(probe)
        received, sent = self.spoken
        for what, total, fault in (
            ("was reset after {} received bytes", received, ResetStream),
            ("ended after {} received bytes", received, EofStream),
            ("was reset after {} sent bytes", sent, _reset_at_sent),
            ("carried a wrong byte after {} received bytes", received, _Garbled),
        ):
            for position in _positions(total):
                probe.fault = partial(_at, fault, position)
                where = f"inner's stream {what.format(position)}"
                connector, outcome = await self.call_after_failures(connector, probe, where)
                rules.broken_stream(outcome, where)
                if outcome.kind == "answered":
                    await aclose_forcefully(outcome.stream)
                rules.nothing_left(probe, where, rules.CLOSE_ON_ERROR)
        await self.works_again(connector, probe, "earlier streams broke", after_failure=True)

    async def keeps_its_inner_apart(self, new_probe: Callable[..., Probe]) -> None:
        left, right = new_probe(), new_probe()
        over_left, over_right = self.apply(left), self.apply(right)
        for connector, mine, other in ((over_left, left, right), (over_right, right, left)):
            before = len(other.calls)
            outcome = await self.call(connector, "the layer was applied twice")
            rules.require(
                len(other.calls) == before,
                "the layer was applied twice, and one application called the other's inner: keep inner in what layer() "
                "returns, not in the layer",
            )
            stream = rules.answered(outcome, mine, "the layer was applied twice", self.settings.patience)
            await aclose_forcefully(stream)

    async def keeps_its_state_apart(self, new_probe: Callable[..., Probe]) -> None:
        hanging, answering = new_probe(), new_probe()
        hanging.hang = 100 * self.settings.patience
        first, second = self.apply(hanging), self.apply(answering)
        situation = "another application of the layer {}, which must not matter (or pass shared=True to check_layer)"
        failure: Exception | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._hang, first)
            try:
                with rules.in_time(self.settings.patience, "the call of inner"):
                    await hanging.hanging.wait()
                await self.works_again(second, answering, situation.format("was dialling"))
            except Exception as error:
                failure = error
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure
        hanging.hang = None
        held = await self.answered(first, hanging, "an earlier dial was cancelled")
        other = await self.answered(second, answering, situation.format("holds an open stream"))
        for stream in (held, other, held):
            await rules.echoes(stream, self.settings.patience)
        for stream in (held, other):
            await aclose_forcefully(stream)

    async def _cancel_at_every_await(self, probe: Probe, kind: type[Exception] | None) -> None:
        connector = self.apply(probe)
        for step in range(MAX_STEPS):
            probe.error = error = None if kind is None else kind("check_layer made inner fail")
            where = f"at await number {step} of the dial" if step else "before the dial"
            what = f"the caller is cancelled {where}"
            if kind is None:
                outcome = await self.call(connector, what, cancel_at=step)
            else:
                connector, outcome = await self.call_after_failures(connector, probe, what, cancel_at=step)
            if outcome.kind == "answered" and not outcome.interrupted:
                await aclose_forcefully(outcome.stream)  # a result that has arrived beats the cancellation
            elif outcome.kind == "failed" and error is not None:
                rules.error_passes(outcome, error)
            else:
                rules.cancelled(outcome, where)
            rules.nothing_left(probe, f"the caller was cancelled {where}", rules.CLOSE_ON_ERROR)
            if outcome.steps < step:
                break
        else:
            raise AssertionError(f"the dial did not end within {MAX_STEPS} awaits")
        probe.error = None
        await self.works_again(connector, probe, "earlier dials were cancelled", after_failure=kind is not None)

    async def _check_stream(
        self, stream: ByteStream, probe: Probe, how: Callable[[ByteStream], Awaitable[None]]
    ) -> None:
        rules.typed_attributes(stream, probe)
        rules.require(stream.extra(ProbeAttribute.mark) is probe, "the stream is not the one that inner returned")
        with self.waiting("an echo through the layer's stream"):
            await rules.echoes(stream, self.settings.patience)
        with self.waiting("the end of the layer's stream, which was closed"):
            await rules.close(stream, how, self.settings.patience)
        rules.nothing_left(probe, "the layer's stream was closed", "closing it must close inner's stream")

    async def _hang(self, connector: Connector) -> None:
        await call(connector, self.settings.uri, patience=100 * self.settings.patience)


class _Mute(FaultStream):
    """Receives the first ``after`` bytes, and then nothing for as long as the layer waits."""

    def __init__(self, probe: Probe, after: int, inner: ByteStream) -> None:
        super().__init__(inner)
        self._probe = probe
        self._after = after

    async def receive(self, max_bytes: int = 65536) -> bytes:
        if self.received >= self._after:
            self._probe.hangs()
            await anyio.sleep_forever()
        return await super().receive(min(max_bytes, self._after - self.received))


class _Garbled(FaultStream):
    """Receives one byte inverted, and the end of the stream where the far end has no answer to what came of it."""

    def __init__(self, inner: ByteStream, position: int) -> None:
        super().__init__(inner)
        self._near = cast(MemoryStream, inner)
        self._position = position

    async def receive(self, max_bytes: int = 65536) -> bytes:
        for _ in range(SILENCE):
            if self._near.readable:
                break
            await checkpoint()
        else:
            raise EndOfStream
        start = self.received
        data = bytearray(await super().receive(max_bytes))
        if start <= self._position < self.received:
            data[self._position - start] ^= 0xFF
        return bytes(data)


def _reset_at_sent(stream: ByteStream, position: int) -> ByteStream:
    return ResetStream(stream, sent=position)


def _at(fault: Callable[[ByteStream, int], ByteStream], position: int, stream: ByteStream) -> ByteStream:
    return fault(stream, position)


async def _aclose(stream: ByteStream) -> None:
    await stream.aclose()


def _positions(total: int) -> Iterator[int]:
    position = 0
    while position < total:
        yield position
        position += 1 if position < EVERY_BYTE else position // 8
