"""Count the bytes of open streams, each time that Prometheus asks and when a stream ends.

Streams count their bytes anyway. To count each write here, too, would cost every write; to count at the end only would
show a connection of a week as one peak.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from functools import partial

from prometheus_client import Counter, Gauge
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ziggurat.services.stream import ObservedStream

__all__ = ["Traffic"]


class Traffic(Collector):
    """The open streams, as a collector that has no metrics of its own but feeds others.

    Prometheus is mostly answered in a thread of its own, so a lock guards the set of streams.
    """

    def __init__(self, streams: Gauge, sent: Counter, received: Counter) -> None:
        self._streams = streams
        self._sent = sent
        self._received = received
        self._open: set[_Meter] = set()
        self._lock = threading.Lock()

    def opened(self, labels: tuple[str, str], stream: ObservedStream) -> None:
        """Count a stream, and its bytes from now on, until it ends."""
        self._streams.labels(*labels).inc()
        meter = _Meter(stream, self._sent.labels(*labels), self._received.labels(*labels))
        with self._lock:
            self._open.add(meter)
        stream.on_close(partial(self._closed, labels, meter))

    def _closed(self, labels: tuple[str, str], meter: _Meter) -> None:
        with self._lock:
            self._open.discard(meter)
            meter.read()
        self._streams.labels(*labels).dec()

    def describe(self) -> Iterable[Metric]:
        """No metrics: they are registered themselves."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Bring the counters up to date."""
        with self._lock:
            for meter in self._open:
                meter.read()
        return []


class _Meter:
    """What of a stream's bytes has been counted."""

    __slots__ = ("_counters", "_known", "_stream")

    def __init__(self, stream: ObservedStream, sent: Counter, received: Counter) -> None:
        self._stream = stream
        self._counters = sent, received
        self._known = list(stream.traffic)

    def read(self) -> None:
        for index, (now, counter) in enumerate(zip(self._stream.traffic, self._counters, strict=True)):
            # In another thread the loop may just be adding two numbers: what is missing comes with the next reading.
            if now > self._known[index]:
                counter.inc(now - self._known[index])
                self._known[index] = now
