"""Layers, which wrap a connector, and the builder that stacks them."""

from ziggurat.layers.builder import ServiceBuilder
from ziggurat.layers.concurrency_limit import ConcurrencyLimitLayer, Limiter
from ziggurat.layers.direct import DirectLayer
from ziggurat.layers.environment import EnvironmentProxyLayer, proxy_from_environment
from ziggurat.layers.http_connect import BearerToken, HttpConnectLayer, ProxyAuthenticator, ProxyConversation
from ziggurat.layers.keepalive import KeepAliveLayer
from ziggurat.layers.layer import Identity, Layer, Stack, layer_fn
from ziggurat.layers.logging import LoggingLayer
from ziggurat.layers.no_delay import NoDelayLayer
from ziggurat.layers.proxy import proxy_layers
from ziggurat.layers.route import RouteLayer, Rule, parse_routes, read_routes
from ziggurat.layers.socks4 import Socks4Layer
from ziggurat.layers.socks5 import Isolated, Socks5Layer, UserPass
from ziggurat.layers.timeout import TimeoutLayer
from ziggurat.layers.tls import TlsLayer

__all__ = [
    "BearerToken",
    "ConcurrencyLimitLayer",
    "DirectLayer",
    "EnvironmentProxyLayer",
    "HttpConnectLayer",
    "Identity",
    "Isolated",
    "KeepAliveLayer",
    "Layer",
    "Limiter",
    "LoggingLayer",
    "NoDelayLayer",
    "ProxyAuthenticator",
    "ProxyConversation",
    "RouteLayer",
    "Rule",
    "ServiceBuilder",
    "Socks4Layer",
    "Socks5Layer",
    "Stack",
    "TimeoutLayer",
    "TlsLayer",
    "UserPass",
    "layer_fn",
    "parse_routes",
    "proxy_from_environment",
    "proxy_layers",
    "read_routes",
]
