"""Layers, which wrap a connector, and the builder that stacks them."""

from ziggurat.layers.and_then import AndThenLayer
from ziggurat.layers.balance import Balance, Change, Insert, Load, MemberState, Meter, PeakEwma, PendingLoad, Remove
from ziggurat.layers.builder import ServiceBuilder
from ziggurat.layers.call_all import Answer, CallAll, call_all
from ziggurat.layers.circuit_breaker import Breaker, CircuitBreakerLayer, by_hop
from ziggurat.layers.concurrency_limit import ConcurrencyLimitLayer
from ziggurat.layers.deferred import Deferred, deferred
from ziggurat.layers.direct import DirectLayer
from ziggurat.layers.environment import EnvironmentProxyLayer, proxy_from_environment
from ziggurat.layers.filter import FilterLayer
from ziggurat.layers.hedge import HedgeLayer, LatencyQuantile
from ziggurat.layers.http_connect import BearerToken, HttpConnectLayer, ProxyAuthenticator, ProxyConversation
from ziggurat.layers.keepalive import KeepAliveLayer
from ziggurat.layers.keyed_limiter import KeyedLimiter
from ziggurat.layers.keys import by_authority, by_host, by_network
from ziggurat.layers.layer import Identity, Layer, Stack, layer_fn
from ziggurat.layers.limiter import Limiter
from ziggurat.layers.logging import LoggingLayer
from ziggurat.layers.map_error import MapErrorLayer
from ziggurat.layers.map_request import MapRequestLayer
from ziggurat.layers.map_response import MapResponseLayer
from ziggurat.layers.metrics import MetricsLayer
from ziggurat.layers.no_delay import NoDelayLayer
from ziggurat.layers.place import Place
from ziggurat.layers.proxy import proxy_layers
from ziggurat.layers.race import Race, race
from ziggurat.layers.rate_limit import FixedWindow, RateLimitLayer, TokenBucket
from ziggurat.layers.redirect import Redirect, redirects
from ziggurat.layers.retry import RetryBudget, RetryLayer, RetryPolicy, nothing_sent
from ziggurat.layers.route import RouteLayer, Rule, parse_routes, read_routes
from ziggurat.layers.socks4 import Socks4Layer
from ziggurat.layers.socks5 import Isolated, Socks5Layer, UserPass
from ziggurat.layers.steer import Steer
from ziggurat.layers.timeout import TimeoutLayer
from ziggurat.layers.tls import TlsLayer
from ziggurat.layers.tor import TorLayer, TorReply, TorResolver
from ziggurat.layers.tracing import TracingLayer

__all__ = [
    "AndThenLayer",
    "Answer",
    "Balance",
    "BearerToken",
    "Breaker",
    "CallAll",
    "Change",
    "CircuitBreakerLayer",
    "ConcurrencyLimitLayer",
    "Deferred",
    "DirectLayer",
    "EnvironmentProxyLayer",
    "FilterLayer",
    "FixedWindow",
    "HedgeLayer",
    "HttpConnectLayer",
    "Identity",
    "Insert",
    "Isolated",
    "KeepAliveLayer",
    "KeyedLimiter",
    "LatencyQuantile",
    "Layer",
    "Limiter",
    "Load",
    "LoggingLayer",
    "MapErrorLayer",
    "MapRequestLayer",
    "MapResponseLayer",
    "MemberState",
    "Meter",
    "MetricsLayer",
    "NoDelayLayer",
    "PeakEwma",
    "PendingLoad",
    "Place",
    "ProxyAuthenticator",
    "ProxyConversation",
    "Race",
    "RateLimitLayer",
    "Redirect",
    "Remove",
    "RetryBudget",
    "RetryLayer",
    "RetryPolicy",
    "RouteLayer",
    "Rule",
    "ServiceBuilder",
    "Socks4Layer",
    "Socks5Layer",
    "Stack",
    "Steer",
    "TimeoutLayer",
    "TlsLayer",
    "TokenBucket",
    "TorLayer",
    "TorReply",
    "TorResolver",
    "TracingLayer",
    "UserPass",
    "by_authority",
    "by_hop",
    "by_host",
    "by_network",
    "call_all",
    "deferred",
    "layer_fn",
    "nothing_sent",
    "parse_routes",
    "proxy_from_environment",
    "proxy_layers",
    "race",
    "read_routes",
    "redirects",
]
