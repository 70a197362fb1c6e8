"""Compose a stack, outermost layer first.

The first layer added sees the dial first, as in tower: in ``ServiceBuilder().timeout(5.0).concurrency_limit(10)`` the
five seconds include the wait for a permit; with the two swapped, they start once there is one.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING

from anyio.abc import ByteStream

from ziggurat.layers.and_then import AndThenLayer
from ziggurat.layers.certificates import ClientCertificate, PemFile
from ziggurat.layers.circuit_breaker.breaker import Breaker
from ziggurat.layers.circuit_breaker.layer import CircuitBreakerLayer
from ziggurat.layers.concurrency_limit import ConcurrencyLimitLayer, Hold, Mode
from ziggurat.layers.direct import DirectLayer
from ziggurat.layers.events import Level
from ziggurat.layers.filter import FilterLayer, Predicate
from ziggurat.layers.hedge.latency import LatencyQuantile
from ziggurat.layers.hedge.layer import HedgeLayer
from ziggurat.layers.http_connect.auth import HttpAuth
from ziggurat.layers.http_connect.headers import Headers
from ziggurat.layers.http_connect.layer import HttpConnectLayer
from ziggurat.layers.keepalive import KeepAliveLayer
from ziggurat.layers.keyed_limiter import KeyedLimiter
from ziggurat.layers.layer import Layer, Stack, as_layer
from ziggurat.layers.limiter import Limiter
from ziggurat.layers.logging import EventLogger, LoggingLayer
from ziggurat.layers.map_error import MapErrorLayer
from ziggurat.layers.map_request import MapRequestLayer
from ziggurat.layers.map_response import MapResponseLayer
from ziggurat.layers.metrics import MetricsLayer
from ziggurat.layers.no_delay import NoDelayLayer
from ziggurat.layers.proxy import ProxyUrls, proxy_layers
from ziggurat.layers.rate_limit.layer import RateLimitLayer
from ziggurat.layers.rate_limit.rate import Rate
from ziggurat.layers.redaction import hide_arguments
from ziggurat.layers.retry.budget import RetryBudget
from ziggurat.layers.retry.layer import RetryLayer
from ziggurat.layers.retry.policy import RetryPolicy
from ziggurat.layers.route.layer import RouteLayer
from ziggurat.layers.route.rule import Rule
from ziggurat.layers.socks4 import Socks4Layer
from ziggurat.layers.socks5.auth import Auth
from ziggurat.layers.socks5.handshake import Literals, Pipeline
from ziggurat.layers.socks5.layer import Socks5Layer
from ziggurat.layers.timeout import TimeoutLayer
from ziggurat.layers.tls import TlsLayer
from ziggurat.layers.tor.layer import Isolation, TorLayer
from ziggurat.layers.tracing import TracingLayer
from ziggurat.services.service import Connector
from ziggurat.services.uri import Uri

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider
    from prometheus_client import CollectorRegistry

__all__ = ["ServiceBuilder"]


class ServiceBuilder:
    """A stack of layers without a leaf. Immutable and reusable: every method returns a new builder.

    Attributes:
        layers: the layers, outermost first.

    Raises:
        TypeError: something that is no layer is among them.
    """

    __slots__ = ("layers",)

    layers: tuple[Layer, ...]

    def __init__(self, layers: Iterable[Layer | Callable[[Connector], Connector]] = ()) -> None:
        self.layers = tuple(map(as_layer, layers))

    def layer(self, layer: Layer | Callable[[Connector], Connector], /) -> ServiceBuilder:
        """Add a layer below the existing ones: an object with ``layer(inner)``, or a function ``inner -> connector``.

        Raises:
            TypeError: it is neither, or a class in place of an instance.
        """
        return ServiceBuilder((*self.layers, as_layer(layer)))

    def option_layer(self, layer: Layer | Callable[[Connector], Connector] | None, /) -> ServiceBuilder:
        """Add a layer, or nothing if it is ``None``."""
        return self if layer is None else self.layer(layer)

    def service(self, connector: Connector, /) -> Stack:
        """Put the layers on a connector. Each stack gets fresh state.

        Raises:
            TypeError: ``connector`` cannot be called or is a class, or a layer returned something that is no connector.
        """
        return Stack(self.layers, connector)

    def logging(
        self,
        *,
        logger: EventLogger | None = None,
        mask_target: bool | Callable[[Uri], str] = False,
        failure_level: Callable[[BaseException], Level] | None = None,
    ) -> ServiceBuilder:
        """Log each dial; see `LoggingLayer`."""
        if failure_level is None:
            return self.layer(LoggingLayer(logger=logger, mask_target=mask_target))
        return self.layer(LoggingLayer(logger=logger, mask_target=mask_target, failure_level=failure_level))

    def metrics(
        self,
        registry: CollectorRegistry | None = None,
        *,
        stack: str = "",
        target: Callable[[Uri], str] | None = None,
    ) -> ServiceBuilder:
        """Count and time dials for Prometheus; see `MetricsLayer`."""
        return self.layer(MetricsLayer(registry, stack=stack, target=target))

    def tracing(self, tracer_provider: TracerProvider | None = None, *, mask_target: bool = False) -> ServiceBuilder:
        """Trace dials for OpenTelemetry; see `TracingLayer`."""
        return self.layer(TracingLayer(tracer_provider, mask_target=mask_target))

    def timeout(self, seconds: float, name: str | None = None) -> ServiceBuilder:
        """Limit the time of everything below; see `TimeoutLayer`."""
        return self.layer(TimeoutLayer(seconds, name))

    def circuit_breaker(self, breaker: Breaker | int = 5) -> ServiceBuilder:
        """Refuse to dial what has failed several times in a row; see `CircuitBreakerLayer` and `Breaker`."""
        return self.layer(CircuitBreakerLayer(breaker))

    def concurrency_limit(
        self,
        limit: int | Limiter | KeyedLimiter,
        *,
        mode: Mode = "wait",
        max_waiting: int | None = None,
        max_wait: float | None = None,
        hold: Hold = "dial",
    ) -> ServiceBuilder:
        """Limit concurrent dials or streams; see `ConcurrencyLimitLayer`."""
        return self.layer(
            ConcurrencyLimitLayer(limit, mode=mode, max_waiting=max_waiting, max_wait=max_wait, hold=hold)
        )

    def rate_limit(
        self, rate: Rate, *, mode: Mode = "wait", max_waiting: int | None = None, max_wait: float | None = None
    ) -> ServiceBuilder:
        """Limit how many dials start in a time; see `RateLimitLayer`."""
        return self.layer(RateLimitLayer(rate, mode=mode, max_waiting=max_waiting, max_wait=max_wait))

    def retry(self, policy: RetryPolicy | None = None) -> ServiceBuilder:
        """Dial again after a failure, by default at most three times; see `RetryLayer` and `RetryPolicy`."""
        return self.layer(RetryLayer() if policy is None else RetryLayer(policy))

    def hedge(self, after: float | LatencyQuantile, *, budget: RetryBudget | None = None) -> ServiceBuilder:
        """Dial a second time when the first dial is slow; see `HedgeLayer`."""
        return self.layer(HedgeLayer(after, budget))

    def tls(
        self,
        context: ssl.SSLContext | None = None,
        *,
        alpn: tuple[str, ...] = ("h2",),
        timeout: float | None = 10.0,
        server_name: str | None = None,
        ca: PemFile | None = None,
        client_cert: ClientCertificate | None = None,
    ) -> ServiceBuilder:
        """Speak TLS with the host of the Uri; see `TlsLayer`."""
        layer = TlsLayer(context, alpn=alpn, timeout=timeout, server_name=server_name, ca=ca, client_cert=client_cert)
        return self.layer(layer)

    def direct(self) -> ServiceBuilder:
        """Dial directly on purpose, whatever proxy variables are set; see `DirectLayer`."""
        return self.layer(DirectLayer())

    @hide_arguments
    def socks4(
        self, proxy: str | Uri, *, user_id: str = "", remote_dns: bool = True, timeout: float | None = 60.0
    ) -> ServiceBuilder:
        """Connect through a SOCKS4 proxy, which everything below dials; see `Socks4Layer`."""
        return self.layer(Socks4Layer(proxy, user_id=user_id, remote_dns=remote_dns, timeout=timeout))

    @hide_arguments
    def proxy(self, url: ProxyUrls) -> ServiceBuilder:
        """Connect through a proxy, or a chain of proxies, by URL; see `proxy_layers`."""
        return ServiceBuilder((*self.layers, *proxy_layers(url)))

    def route(self, rules: Iterable[Rule]) -> ServiceBuilder:
        """Choose the way of each dial by its target; see `RouteLayer`."""
        return self.layer(RouteLayer(tuple(rules)))

    @hide_arguments
    def socks5(
        self,
        proxy: str | Uri,
        *,
        auth: Auth = None,
        handshake_timeout: float | None = 10.0,
        connect_timeout: float | None = None,
        pipeline: Pipeline = None,
        literals: Literals = "as-is",
    ) -> ServiceBuilder:
        """Connect through a SOCKS5 proxy, which everything below dials; see `Socks5Layer`."""
        layer = Socks5Layer(
            proxy,
            auth=auth,
            handshake_timeout=handshake_timeout,
            connect_timeout=connect_timeout,
            pipeline=pipeline,
            literals=literals,
        )
        return self.layer(layer)

    @hide_arguments
    def http_connect(
        self,
        proxy: str | Uri,
        *,
        auth: HttpAuth = None,
        headers: Headers = (),
        timeout: float | None = 60.0,
    ) -> ServiceBuilder:
        """Connect through an HTTP proxy, which everything below dials; see `HttpConnectLayer`."""
        return self.layer(HttpConnectLayer(proxy, auth=auth, headers=headers, timeout=timeout))

    def tor(
        self,
        socks: str | Uri = "127.0.0.1:9050",
        *,
        isolate: Isolation = "dial",
        timeout: float | None = 60.0,
        onion_timeout: float | None = 120.0,
    ) -> ServiceBuilder:
        """Connect through Tor, whose SOCKS port everything below dials; see `TorLayer`."""
        return self.layer(TorLayer(socks, isolate, timeout, onion_timeout))

    def keepalive(
        self,
        idle: float,
        interval: float | None = None,
        count: int | None = None,
        *,
        user_timeout: float | None = None,
        require: bool = False,
    ) -> ServiceBuilder:
        """Enable TCP keepalive; see `KeepAliveLayer`."""
        return self.layer(KeepAliveLayer(idle, interval, count, user_timeout, require))

    def no_delay(self, enabled: bool = True, *, require: bool = False) -> ServiceBuilder:
        """Set ``TCP_NODELAY``; see `NoDelayLayer`."""
        return self.layer(NoDelayLayer(enabled, require))

    def filter(self, predicate: Predicate, name: str | None = None) -> ServiceBuilder:
        """Let some targets through and refuse the others; see `FilterLayer`."""
        return self.layer(FilterLayer(predicate, name))

    def map_request(self, function: Callable[[Uri], Uri]) -> ServiceBuilder:
        """Dial something else than what was asked for; see `MapRequestLayer`."""
        return self.layer(MapRequestLayer(function))

    def map_response(self, function: Callable[[ByteStream], ByteStream]) -> ServiceBuilder:
        """Return something else than the stream that was dialled; see `MapResponseLayer`."""
        return self.layer(MapResponseLayer(function))

    def map_err(self, function: Callable[[Exception], Exception]) -> ServiceBuilder:
        """Raise something else than the error of a dial; see `MapErrorLayer`."""
        return self.layer(MapErrorLayer(function))

    def and_then(
        self,
        function: Callable[[ByteStream], Awaitable[ByteStream]],
        name: str = "and_then",
        timeout: float | None = None,
    ) -> ServiceBuilder:
        """Say something on each new stream before anyone else does; see `AndThenLayer`."""
        return self.layer(AndThenLayer(function, name, timeout))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ServiceBuilder) and self.layers == other.layers

    def __hash__(self) -> int:
        return hash(self.layers)

    def __repr__(self) -> str:
        return f"ServiceBuilder({' > '.join(map(repr, self.layers))})"
