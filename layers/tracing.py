"""Trace dials for OpenTelemetry: one span for a dial, with a child for each of its phases.

The spans follow OpenTelemetry's semantic conventions where these have a name (``server.address``, ``error.type``,
``network.transport``); the rest begins with ``ziggurat.``. The phases' spans are made when the dial has ended, with the
times of its ledger, so that a dial that no sampler picks costs almost nothing.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from anyio.abc import ByteStream

from ziggurat.layers.events import write_event
from ziggurat.layers.outcome import OTHER, error_kind, outcome_of
from ziggurat.layers.outcome import Span as DialSpan
from ziggurat.services.dial import dial
from ziggurat.services.errors import ConnectError, ProxyError
from ziggurat.services.ledger import Ledger
from ziggurat.services.phase import Phase
from ziggurat.services.service import Connector
from ziggurat.services.stream import closing_on_error
from ziggurat.services.uri import Uri
from ziggurat.services.validation import check_bool
from ziggurat.services.version import version

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer, TracerProvider

__all__ = ["Tracing", "TracingLayer"]

NAME = "ziggurat"
"""The instrumentation scope."""

UNKNOWN = "_OTHER"
"""The ``error.type`` of what has no name, as the conventions have it."""

Attributes: TypeAlias = dict[str, str | int]


@dataclass(frozen=True, slots=True)
class TracingLayer:
    """Wraps a connector in `Tracing`.

    Args:
        tracer_provider: makes the tracer; ``None`` for the program's global one, which may be set later.
        mask_target: whether to leave the target out of the spans, and with it the texts of errors and the ``via`` of
            phases, which may name it.

    Raises:
        ImportError: opentelemetry-api is not installed; it comes with the extra ``ziggurat[tracing]``.
        TypeError: an argument is wrong.
    """

    tracer_provider: TracerProvider | None = field(default=None, repr=False)
    mask_target: bool = False

    def __post_init__(self) -> None:
        check_bool("mask_target", self.mask_target)
        try:
            from opentelemetry.trace import TracerProvider
        except ImportError as error:
            raise ImportError("TracingLayer needs opentelemetry-api: pip install 'ziggurat[tracing]'") from error
        if self.tracer_provider is not None and not isinstance(self.tracer_provider, TracerProvider):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"tracer_provider must be an OpenTelemetry TracerProvider, not {self.tracer_provider!r}")

    def layer(self, inner: Connector, /) -> Connector:
        from opentelemetry import trace

        return Tracing(self, inner, trace.get_tracer(NAME, version(), self.tracer_provider))


@dataclass(slots=True)
class Tracing:
    """Passes dials through, and makes their spans. What goes wrong with that fails no dial."""

    config: TracingLayer
    inner: Connector
    tracer: Tracer = field(repr=False)
    _told: bool = field(default=False, init=False, repr=False)

    async def __call__(self, uri: Uri, /) -> ByteStream:
        """Dial through ``inner``; its exceptions pass through unchanged.

        The span of the dial is current for everything below.
        """
        with dial(uri) as current:
            traced = _Traced(self, uri, current.ledger)
            try:
                with traced.current():
                    stream = await self.inner(uri)
            except BaseException as error:
                traced.end(error)
                raise
            async with closing_on_error(stream):
                if current.owner:  # nothing above can still fail
                    traced.end(None)
                else:
                    current.on_outcome(traced.end)
                return current.established(stream)

    def lost(self, error: Exception) -> None:
        """Say once that something could not be traced."""
        if not self._told:
            self._told = True
            # Without the error's text, which may name the target.
            write_event(None, "warning", "traces.lost", error=type(error).__name__)


class _Traced:
    """One dial and its span, which ends with it."""

    __slots__ = ("_began", "_dial", "_masked", "_owner", "_span")

    def __init__(self, owner: Tracing, uri: Uri, ledger: Ledger) -> None:
        self._owner = owner
        self._masked = owner.config.mask_target
        self._dial = DialSpan(ledger)
        self._began = time.time_ns()
        self._span: Span | None = None
        try:
            from opentelemetry.trace import SpanKind

            self._span = owner.tracer.start_span(
                "dial", kind=SpanKind.CLIENT, attributes=self._of_target(uri), start_time=self._began
            )
        except Exception as error:
            owner.lost(error)

    @contextmanager
    def current(self) -> Generator[None, None, None]:
        """Make the span the current one, for spans of other libraries below."""
        if self._span is None:
            yield
            return
        from opentelemetry import context, trace

        token = context.attach(trace.set_span_in_context(self._span))
        try:
            yield
        finally:
            context.detach(token)

    def end(self, error: BaseException | None) -> None:
        """End the span, with the spans of the phases below it."""
        span = self._span
        if span is None:
            return
        try:
            if span.is_recording():
                self._tell(span, error)
            span.end(self._at(self._dial.ledger.elapsed))
        except Exception as wrong:
            self._owner.lost(wrong)

    def _tell(self, span: Span, error: BaseException | None) -> None:
        from opentelemetry.trace import StatusCode

        outcome, reason = outcome_of(error, self._dial.ledger)
        span.set_attribute("ziggurat.dial.id", self._dial.ledger.id)
        span.set_attribute("ziggurat.outcome", outcome)
        if reason is not None:
            span.set_attributes(self._of_error(reason))
            text = str(reason) or type(reason).__name__
            span.set_status(StatusCode.ERROR, _kind(reason) if self._masked else text)
        for entry in self._dial.phases:
            self._make_child(span, entry, reason)

    def _make_child(self, parent: Span, entry: Phase, reason: BaseException | None) -> None:
        from opentelemetry.trace import StatusCode, set_span_in_context

        child = self._owner.tracer.start_span(
            entry.name,
            set_span_in_context(parent),
            attributes=self._of_phase(entry),
            start_time=self._at(entry.start),
        )
        if entry.outcome in ("failed", "timeout"):
            ours = isinstance(reason, ConnectError) and (reason.phase, reason.via) == (entry.name, entry.via)
            kind = "timeout" if entry.outcome == "timeout" else UNKNOWN
            child.set_attribute("error.type", _kind(reason) if reason is not None and ours else kind)
            child.set_status(StatusCode.ERROR)
        child.end(self._at(entry.start + (entry.elapsed or 0.0)))

    def _at(self, moment: float) -> int:
        """The wall clock's nanoseconds at a moment of the dial: that of the call, and the loop's time since."""
        return self._began + round((moment - self._dial.start) * 1e9)

    def _of_target(self, uri: Uri) -> Attributes:
        found: Attributes = {"network.transport": "unix" if uri.is_unix else "tcp"}
        if not self._masked:
            found["server.address"] = uri.path if uri.is_unix else uri.host
            if not uri.is_unix:
                found["server.port"] = uri.port
        return found

    def _of_error(self, error: BaseException) -> Attributes:
        found: Attributes = {"error.type": _kind(error)}
        if isinstance(error, ConnectError) and error.phase is not None:
            found["ziggurat.phase"] = error.phase
        if isinstance(error, ProxyError):
            if error.reply_code is not None:
                found["ziggurat.proxy.reply_code"] = error.reply_code
            if error.status is not None:
                found["http.response.status_code"] = error.status
        return found

    def _of_phase(self, entry: Phase) -> Attributes:
        texts = {"via": entry.via, "note": entry.note}
        found: Attributes = {} if self._masked else {f"ziggurat.{k}": v for k, v in texts.items() if v is not None}
        found["ziggurat.outcome"] = entry.outcome
        if entry.attempt is not None:
            found["ziggurat.attempt"] = entry.attempt
        if entry.branch is not None and not self._masked:
            found["ziggurat.branch"] = entry.branch
        if entry.sent or entry.received:
            found |= {"ziggurat.sent": entry.sent, "ziggurat.received": entry.received}
        return found


def _kind(error: BaseException) -> str:
    kind = error_kind(error)
    return type(error).__name__ if kind == OTHER else kind
