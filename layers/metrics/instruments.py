"""The metrics of one registry: their names, units and labels, and the bound on the values of the labels.

A label's value that nobody sees again stays in the process and in Prometheus, so each label has a bounded number of
them. Outcomes, kinds of errors and our own phases are closed sets; of the user's phases and targets there is a number,
beyond which all are counted as ``other``.
"""

from __future__ import annotations

from typing import TypeAlias
from weakref import WeakKeyDictionary

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from ziggurat.layers.metrics.admitted import Admitted
from ziggurat.layers.metrics.traffic import Traffic
from ziggurat.layers.outcome import OUTCOMES, Outcome, Span, error_kind
from ziggurat.services.errors import ConnectError

__all__ = ["BUCKETS", "OUR_PHASES", "Instruments", "Labels", "instruments"]

Labels: TypeAlias = tuple[str, str]
"""The values of the labels ``stack`` and ``target``."""

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
"""Upper bounds in seconds: a local socket takes less than the first, a circuit of Tor up to the last."""

OUR_PHASES = frozenset(
    {"admission", "connectable", "deferred", "dns", "filter", "handshake", "http2", "keepalive", "no_delay",
     "proxy.auth", "proxy.connect", "proxy.greeting", "proxy.resolve", "retry.wait", "route", "tcp", "tls", "unix"}
)  # fmt: skip

MAX_PHASES = 32
"""Phases of the user's own layers."""

MAX_TARGETS = 100

COMMON = ("stack", "target")


class Instruments:
    """The metrics of one registry.

    Raises:
        ValueError: the registry has other metrics of these names. It is then as it was.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.phases = Admitted(MAX_PHASES, OUR_PHASES)
        self.targets = Admitted(MAX_TARGETS)
        self._known: set[Labels] = set()
        open_streams = Gauge("ziggurat_streams_open", "Dialled streams that are open.", COMMON, registry=None)
        sent = Counter("ziggurat_stream_sent_bytes", "Bytes sent on dialled streams.", COMMON, registry=None)
        received = Counter(
            "ziggurat_stream_received_bytes", "Bytes received on dialled streams.", COMMON, registry=None
        )
        self.traffic = Traffic(open_streams, sent, received)
        self._dials = Counter("ziggurat_dials", "Dials that have ended.", (*COMMON, "outcome"), registry=None)
        self._failures = Counter(
            "ziggurat_dial_failures",
            "Dials that have failed, by the kind of the error and the phase that failed.",
            (*COMMON, "error", "phase"),
            registry=None,
        )
        self._running = Gauge("ziggurat_dials_in_progress", "Dials that are under way.", COMMON, registry=None)
        self._durations = Histogram(
            "ziggurat_dial_duration_seconds",
            "Time from the start of a dial to its end.",
            (*COMMON, "outcome"),
            buckets=BUCKETS,
            registry=None,
        )
        self._phase_durations = Histogram(
            "ziggurat_phase_duration_seconds",
            "Time of the phases of dials, by the phase and how it ended.",
            (*COMMON, "phase", "outcome"),
            buckets=BUCKETS,
            registry=None,
        )
        # The traffic first: when it is collected, it brings the counters behind it up to date.
        self._register(
            registry, self.traffic, open_streams, sent, received,
            self._dials, self._failures, self._running, self._durations, self._phase_durations,
        )  # fmt: skip

    @staticmethod
    def _register(registry: CollectorRegistry, *collectors: Traffic | MetricWrapperBase) -> None:
        done: list[Traffic | MetricWrapperBase] = []
        try:
            for collector in collectors:
                registry.register(collector)
                done.append(collector)
        except ValueError as error:
            for collector in done:
                registry.unregister(collector)
            raise ValueError(f"the registry has other metrics with our names: {error}") from error

    def began(self, labels: Labels) -> None:
        """Count a dial that begins."""
        if labels not in self._known:
            # From 0 on: a series that appears with a 1 has, for Prometheus, not risen.
            self._known.add(labels)
            for outcome in OUTCOMES:
                self._dials.labels(*labels, outcome)
        self._running.labels(*labels).inc()

    def ended(self, labels: Labels, span: Span, outcome: Outcome, error: BaseException | None) -> None:
        """Record a dial that has ended."""
        self._running.labels(*labels).dec()
        self._dials.labels(*labels, outcome).inc()
        self._durations.labels(*labels, outcome).observe(span.ledger.elapsed - span.start)
        if error is not None:
            phase = error.phase if isinstance(error, ConnectError) else None
            admitted = "" if phase is None else self.phases.admit(phase)
            self._failures.labels(*labels, error_kind(error), admitted).inc()
        for entry in span.phases:
            name = self.phases.admit(entry.name)
            self._phase_durations.labels(*labels, name, entry.outcome).observe(entry.elapsed or 0.0)


_of_registry: WeakKeyDictionary[CollectorRegistry, Instruments] = WeakKeyDictionary()


def instruments(registry: CollectorRegistry | None) -> Instruments:
    """Return the metrics of a registry, made at the first call; ``None`` for prometheus-client's default registry.

    Raises:
        TypeError: it is no registry.
        ValueError: it has other metrics of these names.
    """
    chosen = REGISTRY if registry is None else registry
    if not isinstance(chosen, CollectorRegistry):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"registry must be a prometheus_client.CollectorRegistry or None, not {chosen!r}")
    found = _of_registry.get(chosen)
    if found is None:
        found = _of_registry[chosen] = Instruments(chosen)
    return found
