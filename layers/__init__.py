"""Layers, which wrap a connector, and the builder that stacks them."""

from ziggurat.layers.and_then import AndThenLayer
from ziggurat.layers.balance import Balance, Change, Insert, Load, MemberState, Meter, PeakEwma, PendingLoad, Remove
from ziggurat.layers.builder import ServiceBuilder
from ziggurat.layers.call_all import Answer, CallAll, call_all
from ziggurat.layers.concurrency_limit import ConcurrencyLimitLayer, Limiter
from ziggurat.layers.deferred import Deferred, deferred
from ziggurat.layers.filter import FilterLayer
from ziggurat.layers.keepalive import KeepAliveLayer
from ziggurat.layers.layer import Identity, Layer, Stack, layer_fn
from ziggurat.layers.logging import LoggingLayer
from ziggurat.layers.map_error import MapErrorLayer
from ziggurat.layers.map_request import MapRequestLayer
from ziggurat.layers.map_response import MapResponseLayer
from ziggurat.layers.no_delay import NoDelayLayer
from ziggurat.layers.place import Place
from ziggurat.layers.redirect import Redirect, redirects
from ziggurat.layers.retry import RetryBudget, RetryLayer, RetryPolicy, nothing_sent
from ziggurat.layers.socks5 import Isolated, Socks5Layer, UserPass
from ziggurat.layers.steer import Steer
from ziggurat.layers.timeout import TimeoutLayer
from ziggurat.layers.tls import TlsLayer

__all__ = [
    "AndThenLayer",
    "Answer",
    "Balance",
    "CallAll",
    "Change",
    "ConcurrencyLimitLayer",
    "Deferred",
    "FilterLayer",
    "Identity",
    "Insert",
    "Isolated",
    "KeepAliveLayer",
    "Layer",
    "Limiter",
    "Load",
    "LoggingLayer",
    "MapErrorLayer",
    "MapRequestLayer",
    "MapResponseLayer",
    "MemberState",
    "Meter",
    "NoDelayLayer",
    "PeakEwma",
    "PendingLoad",
    "Place",
    "Redirect",
    "Remove",
    "RetryBudget",
    "RetryLayer",
    "RetryPolicy",
    "ServiceBuilder",
    "Socks5Layer",
    "Stack",
    "Steer",
    "TimeoutLayer",
    "TlsLayer",
    "UserPass",
    "call_all",
    "deferred",
    "layer_fn",
    "nothing_sent",
    "redirects",
]
