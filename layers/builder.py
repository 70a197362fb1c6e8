"""Compose a stack, outermost layer first.

The first layer added sees the dial first, as in tower: in ``ServiceBuilder().timeout(5.0).concurrency_limit(10)`` the
five seconds include the wait for a permit; with the two swapped, they start once there is one.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ziggurat.layers.certificates import ClientCertificate, PemFile
from ziggurat.layers.concurrency_limit import ConcurrencyLimitLayer, Hold, Limiter, Mode
from ziggurat.layers.events import Level
from ziggurat.layers.keepalive import KeepAliveLayer
from ziggurat.layers.layer import Layer, Stack, as_layer
from ziggurat.layers.logging import EventLogger, LoggingLayer
from ziggurat.layers.metrics import MetricsLayer
from ziggurat.layers.no_delay import NoDelayLayer
from ziggurat.layers.socks5.auth import Auth
from ziggurat.layers.socks5.handshake import Literals, Pipeline
from ziggurat.layers.socks5.layer import Socks5Layer
from ziggurat.layers.socks5.redaction import hide_arguments
from ziggurat.layers.timeout import TimeoutLayer
from ziggurat.layers.tls import TlsLayer
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

    def concurrency_limit(
        self,
        limit: int | Limiter,
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

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ServiceBuilder) and self.layers == other.layers

    def __hash__(self) -> int:
        return hash(self.layers)

    def __repr__(self) -> str:
        return f"ServiceBuilder({' > '.join(map(repr, self.layers))})"
