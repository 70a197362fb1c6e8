"""Metrics of dials: what is counted and timed, and that counting fails no dial."""

from __future__ import annotations

import sys
from typing import Any

import anyio
import pytest
from anyio.abc import ByteStream
from prometheus_client import REGISTRY, CollectorRegistry
from structlog.testing import capture_logs

from ziggurat.layers import MetricsLayer, ServiceBuilder, TimeoutLayer
from ziggurat.layers.metrics.instruments import MAX_TARGETS
from ziggurat.layers.testing import check_layer, stream_pair
from ziggurat.services.dial import dial, phase
from ziggurat.services.errors import ConnectError, ConnectRefused, ConnectTimeout, Http2Error, ProxyRefused
from ziggurat.services.service import Connector
from ziggurat.services.uri import Uri

TARGET = Uri.parse("http://secret.example:8080")


class Scrape:
    """What a registry has, by ``name{label=value,..}`` of the labels that are not empty."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.samples = {
            f"{sample.name.removeprefix('ziggurat_')}{{{','.join(f'{k}={v}' for k, v in sample.labels.items() if v)}}}":
            sample.value
            for metric in registry.collect()
            for sample in metric.samples
            if "_bucket" not in sample.name and "_created" not in sample.name
        }  # fmt: skip

    def __getitem__(self, key: str) -> float | None:
        return self.samples.get(key)


def leaf_with(*steps: str, error: Exception | None = None) -> Connector:
    """A leaf that enters these phases for a quarter of a second each; the last one fails with ``error``."""

    async def leaf(uri: Uri, /) -> ByteStream:
        with dial(uri) as current:
            for name in steps:
                with phase(name):
                    await anyio.sleep(0.25)
                    if error is not None and name == steps[-1]:
                        raise error
            return current.established(stream_pair()[0])

    return leaf


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


async def test_it_keeps_the_contract_of_a_layer_and_adds_no_wrapper(registry: CollectorRegistry) -> None:
    await check_layer(MetricsLayer(registry), transparent=True)

    scraped = Scrape(registry)
    assert scraped["dials_in_progress{}"] == 0.0
    assert scraped["streams_open{}"] == 0.0


async def test_a_dial_is_counted_with_its_phases_and_its_stream(registry: CollectorRegistry) -> None:
    stream = await MetricsLayer(registry).layer(leaf_with("dns", "tcp"))(TARGET)
    scraped = Scrape(registry)

    assert scraped["dials_total{outcome=ok}"] == 1.0
    assert scraped["dial_duration_seconds_sum{outcome=ok}"] == pytest.approx(0.5)
    assert scraped["phase_duration_seconds_count{phase=dns,outcome=ok}"] == 1.0
    assert scraped["phase_duration_seconds_sum{phase=tcp,outcome=ok}"] == pytest.approx(0.25)
    assert scraped["dials_in_progress{}"] == 0.0
    assert scraped["streams_open{}"] == 1.0
    assert not any("secret" in key for key in scraped.samples)

    await stream.send(b"12345")
    assert Scrape(registry)["stream_sent_bytes_total{}"] == 5.0
    await stream.aclose()
    assert Scrape(registry)["streams_open{}"] == 0.0


async def test_a_dial_under_way_is_in_progress(registry: CollectorRegistry) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(MetricsLayer(registry).layer(leaf_with("tcp")), TARGET)
        await anyio.sleep(0.125)
        assert Scrape(registry)["dials_in_progress{}"] == 1.0
        assert Scrape(registry)["dials_total{outcome=ok}"] == 0.0
        assert Scrape(registry)["dials_total{outcome=failed}"] == 0.0, "the first failure must be a rise"


async def test_a_failure_is_counted_by_its_kind_and_phase(registry: CollectorRegistry) -> None:
    connector = MetricsLayer(registry).layer(leaf_with("tcp", "proxy.connect", error=ProxyRefused("no")))
    with pytest.raises(ProxyRefused):
        await connector(TARGET)
    scraped = Scrape(registry)

    assert scraped["dials_total{outcome=failed}"] == 1.0
    assert scraped["dial_failures_total{error=ProxyRefused,phase=proxy.connect}"] == 1.0
    assert scraped["phase_duration_seconds_count{phase=proxy.connect,outcome=failed}"] == 1.0
    assert scraped["phase_duration_seconds_count{phase=tcp,outcome=ok}"] == 1.0
    assert scraped["streams_open{}"] is None


async def test_a_foreign_exception_is_an_other_failure(registry: CollectorRegistry) -> None:
    with pytest.raises(RuntimeError):
        await MetricsLayer(registry).layer(leaf_with("mine", error=RuntimeError("secret.example")))(TARGET)

    assert Scrape(registry)["dial_failures_total{error=other}"] == 1.0


async def test_a_limit_above_is_a_failure_and_a_caller_that_gives_up_is_none(registry: CollectorRegistry) -> None:
    metrics = MetricsLayer(registry)
    with pytest.raises(ConnectTimeout):
        await ServiceBuilder([TimeoutLayer(0.125), metrics]).service(leaf_with("tcp"))(TARGET)
    assert Scrape(registry)["dial_failures_total{error=ConnectTimeout,phase=tcp}"] == 1.0

    with anyio.move_on_after(0.125):
        await metrics.layer(leaf_with("tcp"))(TARGET)
    scraped = Scrape(registry)
    assert scraped["dials_total{outcome=cancelled}"] == 1.0
    assert scraped["dials_total{outcome=failed}"] == 1.0
    assert scraped["dials_in_progress{}"] == 0.0


async def test_what_fails_above_is_a_failure_of_the_dial(registry: CollectorRegistry) -> None:
    """As below an endpoint: the stack has its stream, and the peer does not speak HTTP/2."""
    connector = MetricsLayer(registry).layer(leaf_with("tcp"))

    async def connect() -> None:
        with dial(TARGET) as current, current.attempt():
            stream = await connector(TARGET)
            assert Scrape(registry)["dials_in_progress{}"] == 1.0
            with phase("http2"):
                await anyio.sleep(0.25)
                await stream.aclose()
                raise Http2Error("no")

    with pytest.raises(Http2Error):
        await connect()
    scraped = Scrape(registry)

    assert scraped["dial_failures_total{error=Http2Error,phase=http2}"] == 1.0
    assert scraped["phase_duration_seconds_count{phase=http2,outcome=failed}"] == 1.0
    assert scraped["dial_duration_seconds_sum{outcome=failed}"] == pytest.approx(0.5)


async def test_two_layers_of_a_registry_share_its_metrics_and_are_told_apart(registry: CollectorRegistry) -> None:
    """client_python#537 and many like it: ``Duplicated timeseries in CollectorRegistry``."""
    for stack in ("a", "b", "b"):
        await MetricsLayer(registry, stack=stack).layer(leaf_with("tcp"))(TARGET)
    await MetricsLayer(registry, target=lambda uri: uri.host).layer(leaf_with("tcp"))(TARGET)
    scraped = Scrape(registry)

    assert scraped["dials_total{stack=a,outcome=ok}"] == 1.0
    assert scraped["dials_total{stack=b,outcome=ok}"] == 2.0
    assert scraped["dials_total{target=secret.example,outcome=ok}"] == 1.0


async def test_targets_are_bounded(registry: CollectorRegistry) -> None:
    """wippyai/runtime#426, aiohttp_prometheus_exporter#134: a label of remote addresses eats the memory."""
    connector = MetricsLayer(registry, target=lambda uri: uri.host).layer(leaf_with())
    for n in range(3 * MAX_TARGETS):
        await connector(Uri("tcp", f"{n}.example", 1))
    counts = [key for key in Scrape(registry).samples if key.startswith("dials_in_progress{")]

    assert len(counts) == MAX_TARGETS + 1
    assert Scrape(registry)["dials_total{target=other,outcome=ok}"] == 2 * MAX_TARGETS


@pytest.mark.parametrize("stage", ["target", "began", "ended", "opened"])
async def test_what_goes_wrong_with_counting_fails_no_dial_and_is_said_once(
    stage: str, registry: CollectorRegistry
) -> None:
    def broken(*_: object) -> Any:
        raise KeyError("secret.example")

    connector: Any = MetricsLayer(registry, target=broken if stage == "target" else None).layer(leaf_with("tcp"))
    instruments = connector.instruments
    spoiled = instruments.traffic if stage == "opened" else instruments
    if stage != "target":
        setattr(spoiled, stage, broken)
    with capture_logs() as logs:
        for _ in range(3):
            await (await connector(TARGET)).aclose()

    assert logs == [{"event": "metrics.lost", "log_level": "warning", "error": "KeyError"}]


async def test_a_failing_dial_raises_its_own_error_when_counting_fails_too(registry: CollectorRegistry) -> None:
    connector: Any = MetricsLayer(registry).layer(leaf_with("tcp", error=ConnectError("no")))
    connector.instruments.ended = None
    with capture_logs(), pytest.raises(ConnectError, match="no"):
        await connector(TARGET)


def test_the_default_registry_is_prometheus_clients() -> None:
    layer: Any = MetricsLayer().layer(leaf_with())

    assert layer.instruments.traffic in REGISTRY._collector_to_names


def test_the_builder_adds_it(registry: CollectorRegistry) -> None:
    def host(uri: Uri) -> str:
        return uri.host

    builder = ServiceBuilder().metrics(registry, stack="main", target=host)
    assert builder.layers == (MetricsLayer(registry, stack="main", target=host),)
    assert repr(ServiceBuilder().metrics(registry, stack="main").layers[0]) == "MetricsLayer(stack='main', target=None)"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"stack": 1}, "stack must be a str"),
        ({"target": "host"}, "target must be a function"),
        ({"registry": 1}, "registry"),
    ],
)
def test_wrong_arguments_are_refused(arguments: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        MetricsLayer(**arguments)


def test_without_prometheus_client_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ziggurat.layers.metrics.instruments", None)
    with pytest.raises(ImportError, match=r"MetricsLayer needs prometheus-client: pip install 'ziggurat\[metrics\]'"):
        MetricsLayer()


def failing_once() -> Connector:
    """A leaf that refuses its first dial."""
    dials: list[Uri] = []

    async def leaf(uri: Uri, /) -> ByteStream:
        dials.append(uri)
        return await leaf_with("tcp", error=ConnectRefused("no") if len(dials) == 1 else None)(uri)

    return leaf


async def test_above_a_retry_a_dial_is_all_attempts_and_below_it_each_one(registry: CollectorRegistry) -> None:
    stack = ServiceBuilder().metrics(registry, stack="above").retry().metrics(registry, stack="below")
    await stack.service(failing_once())(TARGET)
    scraped = Scrape(registry)

    assert scraped["dials_total{stack=above,outcome=ok}"] == 1.0
    assert scraped["dials_total{stack=above,outcome=failed}"] == 0.0
    assert scraped["dials_total{stack=below,outcome=ok}"] == 1.0
    assert scraped["dials_total{stack=below,outcome=failed}"] == 1.0
    for stack in ("above", "below"):
        assert scraped[f"phase_duration_seconds_count{{stack={stack},phase=tcp,outcome=failed}}"] == 1.0
        assert scraped[f"phase_duration_seconds_count{{stack={stack},phase=tcp,outcome=ok}}"] == 1.0
    assert scraped["phase_duration_seconds_count{stack=above,phase=retry.wait,outcome=ok}"] == 1.0
    assert scraped["phase_duration_seconds_count{stack=below,phase=retry.wait,outcome=ok}"] is None


async def test_of_two_hedged_dials_each_has_its_own_phases(registry: CollectorRegistry) -> None:
    stack = ServiceBuilder().hedge(0.125).metrics(registry)
    await stack.service(leaf_with("tcp"))(TARGET)
    scraped = Scrape(registry)

    assert scraped["dials_total{outcome=ok}"] == 1.0
    assert scraped["dials_total{outcome=cancelled}"] == 1.0
    assert scraped["phase_duration_seconds_count{phase=tcp,outcome=ok}"] == 1.0
    assert scraped["phase_duration_seconds_count{phase=tcp,outcome=cancelled}"] == 1.0
    assert scraped["dials_in_progress{}"] == 0.0
