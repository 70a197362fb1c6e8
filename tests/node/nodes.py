"""Whole nodes on a network in memory."""

from __future__ import annotations

from collections.abc import Sequence

from ziggurat.node.adaptor import Adaptor
from ziggurat.node.address import NetAddress
from ziggurat.node.connection_handler import ConnectionHandler
from ziggurat.node.flows import FlowContext, FlowFactory
from ziggurat.node.handshake.handshake import Rules
from ziggurat.node.handshake.identity import NodeIdentity
from ziggurat.node.inbound.limits import InboundLimits
from ziggurat.node.testing import MemoryNetwork

NETWORK = "kaspa-devnet"
PORT = 16611


def at(ip: str) -> NetAddress:
    return NetAddress.parse(f"{ip}:{PORT}")


def node(
    network: MemoryNetwork,
    ip: str,
    *,
    listens: bool = True,
    identity: NodeIdentity | None = None,
    flows: Sequence[FlowFactory] = (),
    context: FlowContext | None = None,
    limits: InboundLimits | None = None,
    proxied: bool = False,
    rules: Rules | None = None,
    max_message_size: int = 32 * 1024 * 1024,
) -> Adaptor:
    host = network.host(ip)
    return Adaptor(
        ConnectionHandler(leaf=host, max_message_size=max_message_size),
        identity or NodeIdentity(NETWORK, f"/{ip}/"),
        listener=host.listener(PORT) if listens else None,
        flows=flows,
        context=context,
        limits=limits,
        proxied=proxied,
        rules=rules,
    )
