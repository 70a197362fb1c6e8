"""Layers, which wrap a connector, and the builder that stacks them."""

from ziggurat.layers.builder import ServiceBuilder
from ziggurat.layers.circuit_breaker import Breaker, CircuitBreakerLayer, by_hop
from ziggurat.layers.concurrency_limit import ConcurrencyLimitLayer
from ziggurat.layers.hedge import HedgeLayer, LatencyQuantile
from ziggurat.layers.keepalive import KeepAliveLayer
from ziggurat.layers.keyed_limiter import KeyedLimiter
from ziggurat.layers.keys import by_authority, by_host, by_network
from ziggurat.layers.layer import Identity, Layer, Stack, layer_fn
from ziggurat.layers.limiter import Limiter
from ziggurat.layers.logging import LoggingLayer
from ziggurat.layers.no_delay import NoDelayLayer
from ziggurat.layers.race import Race, race
from ziggurat.layers.rate_limit import FixedWindow, RateLimitLayer, TokenBucket
from ziggurat.layers.retry import RetryBudget, RetryLayer, RetryPolicy, nothing_sent
from ziggurat.layers.socks5 import Isolated, Socks5Layer, UserPass
from ziggurat.layers.timeout import TimeoutLayer
from ziggurat.layers.tls import TlsLayer

__all__ = [
    "Breaker",
    "CircuitBreakerLayer",
    "ConcurrencyLimitLayer",
    "FixedWindow",
    "HedgeLayer",
    "Identity",
    "Isolated",
    "KeepAliveLayer",
    "KeyedLimiter",
    "LatencyQuantile",
    "Layer",
    "Limiter",
    "LoggingLayer",
    "NoDelayLayer",
    "Race",
    "RateLimitLayer",
    "RetryBudget",
    "RetryLayer",
    "RetryPolicy",
    "ServiceBuilder",
    "Socks5Layer",
    "Stack",
    "TimeoutLayer",
    "TlsLayer",
    "TokenBucket",
    "UserPass",
    "by_authority",
    "by_hop",
    "by_host",
    "by_network",
    "layer_fn",
    "nothing_sent",
    "race",
]
