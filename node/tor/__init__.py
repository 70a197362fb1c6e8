"""Tor as the node sees it through the control port: its state, its SOCKS port, and an onion service of our own.

Everything here reads Tor, with one exception: it adds and removes the node's own onion service. Nothing sends a signal,
changes a setting or a circuit, or touches services of others. The connection itself is opened by the connection
handler. May import the library only; the service and the daemon import it.
"""

from __future__ import annotations

from ziggurat.node.tor.authentication import ControlCredentials
from ziggurat.node.tor.circuits import Circuit, Relay
from ziggurat.node.tor.controller import (
    Bootstrap,
    Circuits,
    Controller,
    DescriptorUpload,
    StreamChange,
    TorError,
    TorEvent,
    TorRefused,
)
from ziggurat.node.tor.link import TorLink
from ziggurat.node.tor.onion_key import make_onion_key, read_onion_key
from ziggurat.node.tor.opening import controller_opener, load_library
from ziggurat.node.tor.publication import OnionService
from ziggurat.node.tor.status import TorStatus

__all__ = [
    "Bootstrap",
    "Circuit",
    "Circuits",
    "ControlCredentials",
    "Controller",
    "DescriptorUpload",
    "OnionService",
    "Relay",
    "StreamChange",
    "TorError",
    "TorEvent",
    "TorLink",
    "TorRefused",
    "TorStatus",
    "controller_opener",
    "load_library",
    "make_onion_key",
    "read_onion_key",
]
