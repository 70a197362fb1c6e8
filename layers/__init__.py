"""Layers, which wrap a connector, and the builder that stacks them."""

from ziggurat.layers.builder import ServiceBuilder
from ziggurat.layers.concurrency_limit import ConcurrencyLimitLayer, Limiter
from ziggurat.layers.keepalive import KeepAliveLayer
from ziggurat.layers.layer import Identity, Layer, Stack, layer_fn
from ziggurat.layers.logging import LoggingLayer
from ziggurat.layers.metrics import MetricsLayer
from ziggurat.layers.no_delay import NoDelayLayer
from ziggurat.layers.socks5 import Isolated, Socks5Layer, UserPass
from ziggurat.layers.timeout import TimeoutLayer
from ziggurat.layers.tls import TlsLayer
from ziggurat.layers.tracing import TracingLayer

__all__ = [
    "ConcurrencyLimitLayer",
    "Identity",
    "Isolated",
    "KeepAliveLayer",
    "Layer",
    "Limiter",
    "LoggingLayer",
    "MetricsLayer",
    "NoDelayLayer",
    "ServiceBuilder",
    "Socks5Layer",
    "Stack",
    "TimeoutLayer",
    "TlsLayer",
    "TracingLayer",
    "UserPass",
    "layer_fn",
]
