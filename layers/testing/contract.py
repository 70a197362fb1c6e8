"""The contract suite for layers: ``await check_layer(MyLayer())``.

It builds the layer over a `Probe` and dials: with a stream, an error, a hang, a stream that breaks at each byte, a
caller that is cancelled at each await. After each dial it counts what is left. It waits for events, never for a clock.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import TypeAlias, cast

import anyio
from anyio import aclose_forcefully
from anyio.abc import ByteStream

from ziggurat.layers.layer import Layer, layer_fn
from ziggurat.layers.testing import rules
from ziggurat.layers.testing.faults import EofStream, ResetStream
from ziggurat.layers.testing.probe import Peer, Probe, ProbeAttribute
from ziggurat.layers.testing.stepping import Outcome, call
from ziggurat.services.errors import ConnectError
from ziggurat.services.service import Connector
from ziggurat.services.stream import ObservedStream
from ziggurat.services.uri import Uri

__all__ = ["check_layer"]

TARGET = Uri("http", "target.example", 80)
PATIENCE = 120.0
MAX_STEPS = 5000
EVERY_BYTE = 64
"""The stream breaks at each of this many first bytes of a conversation, and at growing distances beyond them."""

Scenario: TypeAlias = Callable[[Callable[..., Probe]], Awaitable[None]]


async def check_layer(
    layer: Layer | Callable[[Connector], Connector],
    *,
    uri: Uri = TARGET,
    peer: Peer | None = None,
    inner_uri: Uri | None = None,
    shared: bool = False,
    transparent: bool = False,
    patience: float = PATIENCE,
) -> None:
    """Check that ``layer`` keeps the contracts of a layer; works on asyncio and trio.

    The response, errors and cancellation of ``inner`` pass through; nothing is left open, running or held, however a
    dial ends; typed attributes and the ledger arrive; each application of the layer has its own state; the layer itself
    is not changed. Check a layer that limits something with a limit of one, so that a single leaked permit shows. No
    other task should start meanwhile.

    Args:
        layer: a layer, or a function ``inner -> connector``.
        uri: what to dial.
        peer: plays the far end of the stream, e.g. a proxy, for a layer that sends or receives on it. When it returns,
            the suite echoes on the stream that it returned, or else on the one that it was given.
        inner_uri: what the layer dials instead of ``uri``; ``None`` for the same, or with ``peer`` for anything.
        shared: whether applications of the layer share an object of the user's, e.g. a limiter, and wait for one
            another; they are then not dialled concurrently.
        transparent: whether the layer promises to return our own streams without a wrapper; checks that too.
        patience: seconds that a dial may take.

    Raises:
        AssertionError: a contract is broken; the message says which one and how to fix it.
    """
    checked = cast(Layer, layer) if hasattr(layer, "layer") else layer_fn(cast("Callable[..., Connector]", layer))
    suite = _Suite(checked, uri, peer, inner_uri, transparent, patience)
    before = rules.state_of(checked)
    await suite.run(suite.passes_the_response)
    await suite.run(suite.works_on_any_leaf)
    await suite.run(suite.passes_errors)
    await suite.run(suite.passes_the_cancellation)
    await suite.run(suite.survives_cancellation)
    await suite.run(suite.survives_cancellation_when_inner_fails)
    await suite.run(suite.survives_broken_streams)
    await suite.run(suite.keeps_its_inner_apart)
    if not shared:
        await suite.run(suite.keeps_its_state_apart)
    rules.require(
        rules.state_of(checked) == before,
        "dialling changed the layer itself: a layer is frozen configuration, keep state in what layer() returns",
    )


class ForeignError(Exception):
    """An error type that the library does not know."""


class _Suite:
    def __init__(
        self, layer: Layer, uri: Uri, peer: Peer | None, inner_uri: Uri | None, transparent: bool, patience: float
    ) -> None:
        self.layer = layer
        self.uri = uri
        self.peer = peer
        self.inner_uri = uri if inner_uri is None and peer is None else inner_uri
        self.transparent = transparent
        self.patience = patience
        self.spoken = (0, 0)  # bytes that the layer received and sent before it returned a stream

    async def run(self, scenario: Scenario) -> None:
        """Run one scenario and check that it leaves no task."""
        before = rules.tasks()
        failure: AssertionError | None = None
        with ExitStack() as probes:
            # The failure is carried out of the task group by hand, so as not to become an ExceptionGroup.
            async with anyio.create_task_group() as far_ends:

                def new_probe(*, ours: bool = True) -> Probe:
                    return probes.enter_context(Probe(far_ends, self.peer, ours=ours))

                try:
                    await scenario(new_probe)
                except AssertionError as error:
                    failure = error
                far_ends.cancel_scope.cancel()
        if failure is not None:
            raise failure
        await rules.no_task_left(before)

    async def passes_the_response(self, new_probe: Callable[..., Probe]) -> None:
        probe = new_probe()
        connector = self.layer.layer(probe)
        rules.require(not probe.calls, "layer() itself called inner: call inner only when the connector is called")
        for how in (_aclose, aclose_forcefully):
            stream = await self._answered(connector, probe, "inner returned a stream")
            opened = cast(ObservedStream, probe.opened[-1])
            self.spoken = opened.bytes_received, opened.bytes_sent
            rules.require(
                self.inner_uri in (None, probe.calls[-1]),
                f"the layer called inner with {probe.calls[-1]}, not {self.inner_uri}: pass the request through "
                "(or pass inner_uri= to check_layer)",
            )
            rules.require(
                stream is opened or not self.transparent,
                f"the layer wrapped one of our streams in {stream!r}: use its on_close() and counters, and return it",
            )
            rules.ledger_arrives(stream, probe, self.uri)
            await self._check_stream(stream, probe, how)

    async def works_on_any_leaf(self, new_probe: Callable[..., Probe]) -> None:
        probe = new_probe(ours=False)
        connector = self.layer.layer(probe)
        stream = await self._answered(connector, probe, "inner is a plain function and returned a foreign stream")
        await self._check_stream(stream, probe, _aclose)

    async def passes_errors(self, new_probe: Callable[..., Probe]) -> None:
        probe = new_probe()
        connector = self.layer.layer(probe)
        for kind in (ConnectError, ForeignError):
            probe.error = error = kind("check_layer made inner fail")
            outcome = await self._call(connector)
            rules.error_passes(outcome, error)
            if isinstance(outcome.error, ConnectError):
                ledger = outcome.error.ledger
                rules.same_dial(ledger is probe.ledgers[-1] and outcome.error.target == self.uri, self.uri)
            rules.nothing_left(probe, f"inner raised {kind.__name__}", rules.FREE_ON_EXIT)
            await self._works_again(connector, probe, f"inner raised {kind.__name__} in an earlier dial")

    async def passes_the_cancellation(self, new_probe: Callable[..., Probe]) -> None:
        probe = new_probe()
        connector = self.layer.layer(probe)
        probe.hang = self.patience
        outcome = await self._call(connector, cancel_when=probe.hanging)
        rules.cancelled(outcome, "while inner was waiting")
        rules.nothing_left(probe, "the caller was cancelled while inner was waiting", rules.FREE_ON_EXIT)
        await self._works_again(connector, probe, "an earlier dial was cancelled while inner was waiting")

    async def survives_cancellation(self, new_probe: Callable[..., Probe]) -> None:
        await self._cancel_at_every_await(new_probe(), None)

    async def survives_cancellation_when_inner_fails(self, new_probe: Callable[..., Probe]) -> None:
        await self._cancel_at_every_await(new_probe(), ConnectError)

    async def survives_broken_streams(self, new_probe: Callable[..., Probe]) -> None:
        probe = new_probe()
        connector = self.layer.layer(probe)
        received, sent = self.spoken
        for what, total, fault in (
            ("was reset after {} received bytes", received, ResetStream),
            ("ended after {} received bytes", received, EofStream),
            ("was reset after {} sent bytes", sent, _reset_at_sent),
        ):
            for position in _positions(total):
                probe.fault = partial(_at, fault, position)
                outcome = await self._call(connector)
                where = f"inner's stream {what.format(position)}"
                rules.broken_stream(outcome, where)
                if outcome.kind == "answered":
                    await aclose_forcefully(outcome.stream)
                rules.nothing_left(probe, where, rules.CLOSE_ON_ERROR)
        await self._works_again(connector, probe, "earlier streams broke")

    async def keeps_its_inner_apart(self, new_probe: Callable[..., Probe]) -> None:
        left, right = new_probe(), new_probe()
        over_left, over_right = self.layer.layer(left), self.layer.layer(right)
        for connector, mine, other in ((over_left, left, right), (over_right, right, left)):
            before = len(other.calls)
            outcome = await self._call(connector)
            rules.require(
                len(other.calls) == before,
                "the layer was applied twice, and one application called the other's inner: keep inner in what layer() "
                "returns, not in the layer",
            )
            stream = rules.answered(outcome, mine, "the layer was applied twice", self.patience)
            await aclose_forcefully(stream)

    async def keeps_its_state_apart(self, new_probe: Callable[..., Probe]) -> None:
        hanging, answering = new_probe(), new_probe()
        hanging.hang = 100 * self.patience
        first, second = self.layer.layer(hanging), self.layer.layer(answering)
        situation = "another application of the layer {}, which must not matter (or pass shared=True to check_layer)"
        failure: AssertionError | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._hang, first)
            try:
                with rules.in_time(self.patience, "the call of inner"):
                    await hanging.hanging.wait()
                await self._works_again(second, answering, situation.format("was dialling"))
            except AssertionError as error:
                failure = error
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure
        hanging.hang = None
        held = await self._answered(first, hanging, "an earlier dial was cancelled")
        other = await self._answered(second, answering, situation.format("holds an open stream"))
        for stream in (held, other, held):
            await rules.echoes(stream, self.patience)
        for stream in (held, other):
            await aclose_forcefully(stream)

    async def _cancel_at_every_await(self, probe: Probe, kind: type[Exception] | None) -> None:
        connector = self.layer.layer(probe)
        for step in range(MAX_STEPS):
            probe.error = error = None if kind is None else kind("check_layer made inner fail")
            outcome = await self._call(connector, cancel_at=step)
            where = f"at await number {step} of the dial" if step else "before the dial"
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
        await self._works_again(connector, probe, "earlier dials were cancelled")

    async def _check_stream(
        self, stream: ByteStream, probe: Probe, how: Callable[[ByteStream], Awaitable[None]]
    ) -> None:
        rules.typed_attributes(stream, probe)
        rules.require(stream.extra(ProbeAttribute.mark) is probe, "the stream is not the one that inner returned")
        await rules.echoes(stream, self.patience)
        await rules.close(stream, how, self.patience)
        rules.nothing_left(probe, "the layer's stream was closed", "closing it must close inner's stream")

    async def _works_again(self, connector: Connector, probe: Probe, situation: str) -> None:
        probe.error = probe.hang = probe.fault = None
        await aclose_forcefully(await self._answered(connector, probe, situation))
        rules.nothing_left(probe, "the layer's stream was closed", "closing it must close inner's stream")

    async def _answered(self, connector: Connector, probe: Probe, situation: str) -> ByteStream:
        return rules.answered(await self._call(connector), probe, situation, self.patience)

    async def _call(
        self, connector: Connector, cancel_at: int | None = None, cancel_when: anyio.Event | None = None
    ) -> Outcome:
        return await call(connector, self.uri, patience=self.patience, cancel_at=cancel_at, cancel_when=cancel_when)

    async def _hang(self, connector: Connector) -> None:
        await call(connector, self.uri, patience=100 * self.patience)


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
