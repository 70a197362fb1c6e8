"""Count and time dials for Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING

from anyio.abc import ByteStream

from ziggurat.layers.events import write_event
from ziggurat.layers.outcome import Span, outcome_of
from ziggurat.services.dial import dial
from ziggurat.services.ledger import Ledger
from ziggurat.services.service import Connector
from ziggurat.services.stream import ObservedStream, closing_on_error, observed
from ziggurat.services.uri import Uri

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from ziggurat.layers.metrics.instruments import Instruments

__all__ = ["Metrics", "MetricsLayer"]


@dataclass(frozen=True, slots=True)
class MetricsLayer:
    """Wraps a connector in `Metrics`.

    Layers of one registry share its metrics; ``stack`` tells them apart.

    Args:
        registry: where the metrics are; ``None`` for prometheus-client's default one.
        stack: the value of the label ``stack``, for a program with several.
        target: gives the value of the label ``target`` for the Uri that the layer is asked for, e.g.
            ``lambda uri: uri.host``. ``None`` leaves it empty, so that no target shows. A registry takes a hundred
            values; later ones are counted as ``other``.

    Raises:
        ImportError: prometheus-client is not installed; it comes with the extra ``ziggurat[metrics]``.
        TypeError: an argument is wrong.
        ValueError: the registry has other metrics of these names.
    """

    registry: CollectorRegistry | None = field(default=None, repr=False)
    _: KW_ONLY
    stack: str = ""
    target: Callable[[Uri], str] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.stack, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"stack must be a str, not {self.stack!r}")
        if self.target is not None and not callable(self.target):
            raise TypeError(f"target must be a function of the Uri or None, not {self.target!r}")
        self._instruments()

    def layer(self, inner: Connector, /) -> Connector:
        return Metrics(self, inner, self._instruments())

    def _instruments(self) -> Instruments:
        try:
            from ziggurat.layers.metrics.instruments import instruments
        except ImportError as error:
            raise ImportError("MetricsLayer needs prometheus-client: pip install 'ziggurat[metrics]'") from error
        return instruments(self.registry)


@dataclass(slots=True)
class Metrics:
    """Passes dials through, and records them when they end. What goes wrong with that fails no dial."""

    config: MetricsLayer
    inner: Connector
    instruments: Instruments
    _told: bool = field(default=False, init=False, repr=False)

    async def __call__(self, uri: Uri, /) -> ByteStream:
        """Dial through ``inner``; its exceptions pass through unchanged."""
        with dial(uri) as current:
            measured = _Measured(self, uri, current.ledger)
            try:
                stream = await self.inner(uri)
            except BaseException as error:
                measured.end(error)
                raise
            async with closing_on_error(stream):
                if current.owner:  # nothing above can still fail
                    measured.end(None)
                else:
                    current.on_outcome(measured.end)
                stream = observed(stream)
                measured.opened(stream)
                return current.established(stream)

    def labels(self, uri: Uri) -> tuple[str, str]:
        """Return the values of the labels ``stack`` and ``target``."""
        target = self.config.target
        return self.config.stack, "" if target is None else self.instruments.targets.admit(str(target(uri)))

    def lost(self, error: Exception) -> None:
        """Say once that something could not be recorded."""
        if not self._told:
            self._told = True
            # Without the error's text, which may name the target.
            write_event(None, "warning", "metrics.lost", error=type(error).__name__)


class _Measured:
    """One dial: counted when it begins, recorded when it ends."""

    __slots__ = ("_labels", "_metrics", "_span")

    def __init__(self, metrics: Metrics, uri: Uri, ledger: Ledger) -> None:
        self._metrics = metrics
        self._span = Span(ledger)
        self._labels: tuple[str, str] | None = None
        try:
            labels = metrics.labels(uri)
            metrics.instruments.began(labels)
            self._labels = labels
        except Exception as error:
            metrics.lost(error)

    def end(self, error: BaseException | None) -> None:
        if self._labels is None:
            return
        try:
            outcome, reason = outcome_of(error, self._span.ledger)
            self._metrics.instruments.ended(self._labels, self._span, outcome, reason)
        except Exception as wrong:
            self._metrics.lost(wrong)

    def opened(self, stream: ObservedStream) -> None:
        if self._labels is None:
            return
        try:
            self._metrics.instruments.traffic.opened(self._labels, stream)
        except Exception as wrong:
            self._metrics.lost(wrong)
