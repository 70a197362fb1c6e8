"""Layers, which wrap a connector, and the builder that stacks them."""

from ziggurat.layers.builder import ServiceBuilder
from ziggurat.layers.concurrency_limit import ConcurrencyLimitLayer, Limiter
from ziggurat.layers.direct import DirectLayer
from ziggurat.layers.http_connect import BearerToken, HttpConnectLayer, ProxyAuthenticator, ProxyConversation
from ziggurat.layers.keepalive import KeepAliveLayer
from ziggurat.layers.layer import Identity, Layer, Stack, layer_fn
from ziggurat.layers.logging import LoggingLayer
from ziggurat.layers.no_delay import NoDelayLayer
from ziggurat.layers.socks4 import Socks4Layer
from ziggurat.layers.socks5 import Isolated, Socks5Layer, UserPass
from ziggurat.layers.timeout import TimeoutLayer
from ziggurat.layers.tls import TlsLayer

__all__ = [
    "BearerToken",
    "ConcurrencyLimitLayer",
    "DirectLayer",
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
    "ServiceBuilder",
    "Socks4Layer",
    "Socks5Layer",
    "Stack",
    "TimeoutLayer",
    "TlsLayer",
    "UserPass",
    "layer_fn",
]
