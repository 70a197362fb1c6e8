"""Spans of dials: their parents, times, attributes and status, and that tracing fails no dial."""

from __future__ import annotations

import sys
from typing import Any

import anyio
import pytest
from anyio.abc import ByteStream
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode
from structlog.testing import capture_logs

from ziggurat.layers import ServiceBuilder, TimeoutLayer, TracingLayer
from ziggurat.layers.testing import check_layer, stream_pair
from ziggurat.services.dial import dial, phase
from ziggurat.services.errors import ConnectError, ConnectTimeout, Http2Error, ProxyRefused
from ziggurat.services.phase import label
from ziggurat.services.service import Connector
from ziggurat.services.uri import Uri

TARGET = Uri.parse("https://secret.example:8443")


class Tracer:
    """A provider whose spans are kept."""

    def __init__(self, **options: Any) -> None:
        self.provider = TracerProvider(shutdown_on_exit=False, **options)
        self.exporter = InMemorySpanExporter()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    @property
    def dial(self) -> ReadableSpan:
        [found] = [span for span in self.spans if span.name == "dial"]
        return found

    def phases(self, span: ReadableSpan | None = None) -> list[ReadableSpan]:
        parent = (span or self.dial).context.span_id  # type: ignore[union-attr]
        return [each for each in self.spans if each.parent is not None and each.parent.span_id == parent]


@pytest.fixture
def tracer() -> Tracer:
    return Tracer()


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def leaf_with(*steps: tuple[str, str | None], error: Exception | None = None) -> Connector:
    async def leaf(uri: Uri, /) -> ByteStream:
        with dial(uri) as current:
            for index, (name, via) in enumerate(steps):
                with phase(name, via=via) as entry:
                    entry.sent = 3 if name == "proxy.connect" else 0
                    await anyio.sleep(0.25)
                    if error is not None and index == len(steps) - 1:
                        raise error
            return current.established(stream_pair()[0])

    return leaf


async def test_it_keeps_the_contract_of_a_layer_and_adds_no_wrapper(
    tracer: Tracer, caplog: pytest.LogCaptureFixture
) -> None:
    await check_layer(TracingLayer(tracer.provider), transparent=True)

    # opentelemetry-python#2606: "Failed to detach context", wherever a span is left in another context.
    assert not [record for record in caplog.records if record.name.startswith("opentelemetry")]


async def test_it_keeps_the_contract_without_a_provider() -> None:
    await check_layer(TracingLayer(), transparent=True)


async def test_a_dial_is_a_client_span_with_a_child_for_each_phase(tracer: Tracer) -> None:
    connector = TracingLayer(tracer.provider).layer(leaf_with(("dns", None), ("proxy.connect", "proxy:1080")))
    await connector(TARGET)
    span = tracer.dial

    assert (span.kind, span.parent, span.status.status_code) == (SpanKind.CLIENT, None, StatusCode.UNSET)
    found = attributes(span)
    assert len(found.pop("ziggurat.dial.id")) == 8
    assert found == {
        "server.address": "secret.example",
        "server.port": 8443,
        "network.transport": "tcp",
        "ziggurat.outcome": "ok",
    }
    dns, connect = tracer.phases()
    assert (dns.name, connect.name) == ("dns", "proxy.connect")
    assert attributes(dns) == {"ziggurat.outcome": "ok"}
    assert attributes(connect) == {
        "ziggurat.outcome": "ok",
        "ziggurat.via": "proxy:1080",
        "ziggurat.sent": 3,
        "ziggurat.received": 0,
    }
    assert dns.instrumentation_scope is not None
    assert dns.instrumentation_scope.name == "ziggurat"


async def test_the_times_are_those_of_the_ledger(tracer: Tracer) -> None:
    await TracingLayer(tracer.provider).layer(leaf_with(("dns", None), ("tcp", None)))(TARGET)
    start = tracer.dial.start_time
    assert start is not None

    def seconds(span: ReadableSpan) -> tuple[float, float]:
        assert span.start_time is not None
        assert span.end_time is not None
        return (span.start_time - start) / 1e9, (span.end_time - start) / 1e9

    assert seconds(tracer.dial) == pytest.approx((0.0, 0.5))
    assert [seconds(span) for span in tracer.phases()] == [pytest.approx((0.0, 0.25)), pytest.approx((0.25, 0.5))]


async def test_a_failure_has_its_error_on_the_dial_and_on_the_phase(tracer: Tracer) -> None:
    error = ProxyRefused("no", reply_code=5, status=503)
    connector = TracingLayer(tracer.provider).layer(leaf_with(("tcp", None), ("proxy.connect", "p:1"), error=error))
    with pytest.raises(ProxyRefused):
        await connector(TARGET)
    span = tracer.dial

    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, str(error))
    found = attributes(span)
    assert (found["error.type"], found["ziggurat.phase"]) == ("ProxyRefused", "proxy.connect")
    assert (found["ziggurat.proxy.reply_code"], found["http.response.status_code"]) == (5, 503)
    tcp, connect = tracer.phases()
    assert tcp.status.status_code is StatusCode.UNSET
    assert (connect.status.status_code, attributes(connect)["error.type"]) == (StatusCode.ERROR, "ProxyRefused")


async def test_a_foreign_exception_has_its_own_name(tracer: Tracer) -> None:
    with pytest.raises(RuntimeError):
        await TracingLayer(tracer.provider).layer(leaf_with(("mine", None), error=RuntimeError("broken")))(TARGET)

    assert attributes(tracer.dial)["error.type"] == "RuntimeError"
    assert tracer.dial.status.description == "broken"
    assert [attributes(span)["error.type"] for span in tracer.phases()] == ["_OTHER"]


async def test_a_phase_that_ran_out_of_time_says_so(tracer: Tracer) -> None:
    async def leaf(uri: Uri, /) -> ByteStream:
        with dial(uri):
            with pytest.raises(ConnectTimeout), phase("one", limit=0.25):
                await anyio.sleep_forever()
            with phase("two"):
                raise ConnectError("no")

    with pytest.raises(ConnectError):
        await TracingLayer(tracer.provider).layer(leaf)(TARGET)
    assert [attributes(span)["error.type"] for span in tracer.phases()] == ["timeout", "ConnectError"]


async def test_a_limit_is_an_error_and_a_caller_that_gives_up_is_none(tracer: Tracer) -> None:
    layer = TracingLayer(tracer.provider)
    with pytest.raises(ConnectTimeout):
        await ServiceBuilder([TimeoutLayer(0.125, "mine"), layer]).service(leaf_with(("tcp", None)))(TARGET)
    assert attributes(tracer.dial)["error.type"] == "ConnectTimeout"
    tracer.exporter.clear()

    with anyio.move_on_after(0.125):
        await layer.layer(leaf_with(("tcp", None)))(TARGET)
    assert tracer.dial.status.status_code is StatusCode.UNSET
    assert attributes(tracer.dial)["ziggurat.outcome"] == "cancelled"
    assert [attributes(span)["ziggurat.outcome"] for span in tracer.phases()] == ["cancelled"]


async def test_what_fails_above_is_part_of_the_dial(tracer: Tracer) -> None:
    connector = TracingLayer(tracer.provider).layer(leaf_with(("tcp", None)))

    async def connect() -> None:
        with dial(TARGET) as current, current.attempt():
            stream = await connector(TARGET)
            assert not tracer.spans
            with phase("http2"):
                await stream.aclose()
                raise Http2Error("no")

    with pytest.raises(Http2Error):
        await connect()

    assert attributes(tracer.dial)["error.type"] == "Http2Error"
    assert [span.name for span in tracer.phases()] == ["tcp", "http2"]


async def test_an_earlier_failed_attempt_does_not_have_the_last_ones_error(tracer: Tracer) -> None:
    failing, working = leaf_with(("tcp", "one"), error=ConnectError("no")), leaf_with(("tcp", "two"))

    async def twice(uri: Uri, /) -> ByteStream:
        with dial(uri):
            with label(attempt=1), pytest.raises(ConnectError):
                await failing(uri)
            with label(attempt=2, branch="b"):
                return await working(uri)

    await TracingLayer(tracer.provider).layer(twice)(TARGET)
    one, two = map(attributes, tracer.phases())

    assert (one["ziggurat.attempt"], one["error.type"]) == (1, "_OTHER")
    assert (two["ziggurat.attempt"], two["ziggurat.branch"]) == (2, "b")
    assert tracer.dial.status.status_code is StatusCode.UNSET


async def test_the_span_is_a_child_of_the_callers_and_the_parent_of_what_is_below(tracer: Tracer) -> None:
    own = tracer.provider.get_tracer("mine")

    async def leaf(uri: Uri, /) -> ByteStream:
        with dial(uri) as current:
            await anyio.sleep(0.125)
            own.start_span("registry").end()
            return current.established(stream_pair()[0])

    with own.start_as_current_span("request") as request:
        await TracingLayer(tracer.provider).layer(leaf)(TARGET)
        assert trace.get_current_span() is request

    assert tracer.dial.parent == request.get_span_context()
    assert [span.name for span in tracer.phases()] == ["registry"]


async def test_a_masked_target_is_nowhere(tracer: Tracer) -> None:
    layer = TracingLayer(tracer.provider, mask_target=True)
    error = ConnectError("secret.example has expired")
    with pytest.raises(ConnectError):
        await layer.layer(leaf_with(("tls", "secret.example"), error=error))(TARGET)

    assert "secret" not in "".join(span.to_json() for span in tracer.spans)
    assert tracer.dial.status.description == "ConnectError"


@pytest.mark.parametrize(("target", "address"), [("unix:/run/s", "/run/s"), ("unix-abstract:s", "s")])
async def test_a_unix_socket_is_its_path(target: str, address: str, tracer: Tracer) -> None:
    await TracingLayer(tracer.provider).layer(leaf_with())(Uri.parse(target))
    found = attributes(tracer.dial)

    assert (found["network.transport"], found["server.address"]) == ("unix", address)
    assert "server.port" not in found


async def test_a_dial_that_no_sampler_picks_makes_no_spans() -> None:
    tracer = Tracer(sampler=ALWAYS_OFF)
    await TracingLayer(tracer.provider).layer(leaf_with(("tcp", None)))(TARGET)

    assert tracer.spans == []


class Broken(trace.TracerProvider):
    """A provider whose tracer fails, or whose spans do."""

    def __init__(self, stage: str) -> None:
        self.stage = stage

    def get_tracer(self, *_: Any, **__: Any) -> Any:
        return self

    def start_span(self, *_: Any, **__: Any) -> Any:
        if self.stage == "start":
            raise KeyError("secret.example")
        return BrokenSpan()


class BrokenSpan(trace.NonRecordingSpan):
    def __init__(self) -> None:
        super().__init__(trace.INVALID_SPAN_CONTEXT)

    def is_recording(self) -> bool:
        raise KeyError("secret.example")


@pytest.mark.parametrize("stage", ["start", "end"])
async def test_what_goes_wrong_with_tracing_fails_no_dial_and_is_said_once(stage: str) -> None:
    connector = TracingLayer(Broken(stage)).layer(leaf_with(("tcp", None)))
    with capture_logs() as logs:
        for _ in range(3):
            await (await connector(TARGET)).aclose()

    assert logs == [{"event": "traces.lost", "log_level": "warning", "error": "KeyError"}]


def test_the_builder_adds_it(tracer: Tracer) -> None:
    builder = ServiceBuilder().tracing(tracer.provider, mask_target=True)

    assert builder.layers == (TracingLayer(tracer.provider, mask_target=True),)
    assert repr(builder) == "ServiceBuilder(TracingLayer(mask_target=True))"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"tracer_provider": "x"}, "tracer_provider must be"),
        ({"mask_target": "yes"}, "mask_target must be True or False"),
    ],
)
def test_wrong_arguments_are_refused(arguments: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        TracingLayer(**arguments)


def test_without_opentelemetry_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", None)
    with pytest.raises(ImportError, match=r"TracingLayer needs opentelemetry-api: pip install 'ziggurat\[tracing\]'"):
        TracingLayer()
