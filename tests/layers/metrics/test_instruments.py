"""The metrics of a registry: their names, one set for each registry, and a bounded number of series."""

from __future__ import annotations

import gc
import re
import weakref
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from ziggurat.layers.metrics import instruments as module
from ziggurat.layers.metrics.instruments import MAX_PHASES, OUR_PHASES, Instruments, instruments
from ziggurat.layers.outcome import Span
from ziggurat.services.dial import dial, phase
from ziggurat.services.errors import ConnectRefused
from ziggurat.services.uri import Uri

ROOT = Path(__file__).parents[3]
TARGET = Uri.parse("http://target.example")
LABELS = ("main", "")


def families(registry: CollectorRegistry) -> dict[str, Any]:
    return {metric.name: metric for metric in registry.collect()}


def test_names_and_units_are_as_prometheus_has_them() -> None:
    """Base units in the names, ``_total`` for counters only: prometheus.io/docs/practices/naming."""
    registry = CollectorRegistry()
    instruments(registry)

    kinds = {name: metric.type for name, metric in families(registry).items()}
    assert kinds == {
        "ziggurat_dials": "counter",
        "ziggurat_dial_failures": "counter",
        "ziggurat_dials_in_progress": "gauge",
        "ziggurat_dial_duration_seconds": "histogram",
        "ziggurat_phase_duration_seconds": "histogram",
        "ziggurat_streams_open": "gauge",
        "ziggurat_stream_sent_bytes": "counter",
        "ziggurat_stream_received_bytes": "counter",
    }
    assert all(metric.documentation.endswith(".") for metric in families(registry).values())


def test_a_registry_has_one_set() -> None:
    """client_python#537 and many like it: whoever makes a metric twice gets ``Duplicated timeseries``."""
    registry = CollectorRegistry()

    assert instruments(registry) is instruments(registry)
    assert instruments(registry) is not instruments(CollectorRegistry())


def test_a_registry_that_nobody_uses_is_forgotten() -> None:
    registry = CollectorRegistry()
    instruments(registry)
    gone = weakref.ref(registry)
    del registry
    gc.collect()

    assert gone() is None


@pytest.mark.parametrize(
    "theirs",
    [
        lambda registry: Counter("ziggurat_dials", "theirs", registry=registry),
        lambda registry: Gauge("ziggurat_phase_duration_seconds", "theirs", registry=registry),
    ],
)
def test_other_metrics_of_these_names_are_refused_and_the_registry_is_left_as_it_was(theirs: Any) -> None:
    registry = CollectorRegistry()
    theirs(registry)
    before = set(families(registry))
    for _ in range(2):
        with pytest.raises(ValueError, match="the registry has other metrics with our names"):
            instruments(registry)

    assert set(families(registry)) == before


def test_a_registry_is_one_of_prometheus_client() -> None:
    with pytest.raises(TypeError, match=r"registry must be a prometheus_client\.CollectorRegistry"):
        instruments("registry")  # type: ignore[arg-type]


def names_of_phases() -> set[str]:
    """The names of the phases that our code enters or notes; those that a variable holds are not seen."""
    sources = (path for package in ("services", "layers", "node") for path in (ROOT / package).rglob("*.py"))
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources if "testing" not in path.parts)
    return set(re.findall(r'(?:\bphase|\.note)\(\s*"([a-z0-9_.]+)"', text)) - {"my.step"}  # a docstring's


def test_our_own_phases_take_no_place_of_the_users() -> None:
    """A new phase of ours belongs into ``OUR_PHASES``."""
    assert names_of_phases() >= {"dns", "tcp", "tls", "http2", "proxy.connect"}
    assert names_of_phases() <= OUR_PHASES


async def record(instrument: Instruments, *names: str, error: ConnectRefused | None = None) -> None:
    with dial(TARGET) as current:
        span = Span(current.ledger)
        instrument.began(LABELS)
        for name in names:
            with phase(name):
                pass
        if error is not None:
            error.phase = names[-1]
        instrument.ended(LABELS, span, "ok" if error is None else "failed", error)


async def test_the_number_of_series_is_bounded() -> None:
    """Whoever puts a host into the name of a phase gets ``other``, and not a series for each host."""
    registry = CollectorRegistry()
    ours = instruments(registry)
    await record(ours, "tcp")
    for n in range(10 * MAX_PHASES):
        await record(ours, f"mine.{n}.example", error=ConnectRefused("x"))
    await record(ours, "http2")

    values = set(re.findall(r'phase_duration_seconds_count\{.*phase="([^"]*)"', generate_latest(registry).decode()))
    assert len(values) == MAX_PHASES + 3
    assert {"tcp", "http2", "other", "mine.0.example"} < values
    failed = registry.get_sample_value(
        "ziggurat_dial_failures_total",
        {"stack": "main", "target": "", "error": "ConnectRefused", "phase": "other"},
    )
    assert failed == 9 * MAX_PHASES


def test_the_buckets_reach_from_a_local_socket_to_a_circuit_of_tor() -> None:
    assert list(module.BUCKETS) == sorted(module.BUCKETS)
    assert (module.BUCKETS[0], module.BUCKETS[-1]) == (0.001, 120.0)
