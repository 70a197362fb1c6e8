"""The benchmarks by name; each must run in its own process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import balance
import bulk
import dead_target
import dial
import forwarding
import http_clients
import http_connect
import idle_peers
import instructions
import layer_cost
import listening
import memory
import message_streams
import node_streams
import private_tor
import ready
import round_trips
import unary
from measure import Scale, pin
from processes import client_core
from report import Row

__all__ = ["BENCHMARKS", "ENVIRONMENTS", "run"]

Benchmark: TypeAlias = Callable[[Scale], Awaitable[list[Row]]]

BENCHMARKS: dict[str, Benchmark] = {
    "P1": unary.unary,
    "P2": unary.over_tls,
    "P3": message_streams.message_streams,
    "P4": bulk.bulk,
    "P5": instructions.instructions,
    "P6": listening.listening,
    "P7": memory.memory,
    "B5": dial.connect,
    "B6": round_trips.round_trips,
    "B7": dial.storm,
    "B8": dead_target.dead_target,
    "B10": layer_cost.layer_cost,
    "B11": node_streams.streams,
    "B12": ready.ready,
    "B13": idle_peers.idle_peers,
    "B14": node_streams.load,
    "B15": layer_cost.every_layer,
    "B16": http_connect.http_connect,
    "B17": forwarding.forwarding,
    "B18": balance.balance,
    "B19": http_clients.http_clients,
    "B20": private_tor.private_tor,
}

ENVIRONMENTS = {"P4": bulk.PINNED_HEAP}
"""Variables that a benchmark's process has in its environment from its start."""


def run(name: str, scale: Scale) -> list[Row]:
    """Run one benchmark in this process."""
    pin(client_core())
    return asyncio.run(BENCHMARKS[name](scale))
