"""What flows are made of, and which ones a node has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from ziggurat.node.address import NetAddress
from ziggurat.node.flows.addresses import AddressBook, AddressesReceiver, AddressesSender, NoAddressBook
from ziggurat.node.flows.consensus_reject import ConsensusReject
from ziggurat.node.flows.inventories import Inventories
from ziggurat.node.flows.ping import PING_INTERVAL, PingResponder, PingSender
from ziggurat.node.flows.reject import RejectReceiver
from ziggurat.node.flows.transaction_not_found import TransactionNotFound
from ziggurat.node.peer import AddressesReceived, Event, Flow, Router

__all__ = ["FlowContext", "FlowFactory", "default_flows"]

FlowFactory: TypeAlias = Callable[[Router], Flow]
"""Makes a flow for one peer. The flow subscribes at once: the peer's first messages come right behind its handshake."""


def _ignore(event: Event) -> None:
    pass


@dataclass(frozen=True, slots=True)
class FlowContext:
    """What our own flows work with.

    Attributes:
        book: where addresses come from and go to.
        publish: tells who listens.
        ping_interval: seconds.
    """

    book: AddressBook = field(default_factory=NoAddressBook)
    publish: Callable[[Event], None] = _ignore
    ping_interval: float = PING_INTERVAL


def default_flows(router: Router, context: FlowContext) -> list[Flow]:
    """Make our own flows for one peer, except those whose message types another flow has subscribed."""

    async def publish_received(addresses: tuple[NetAddress, ...]) -> None:
        context.publish(AddressesReceived(router.info, addresses))

    makers: list[tuple[tuple[str, ...], FlowFactory]] = [
        (PingResponder.types, PingResponder),
        (PingSender.types, lambda router: PingSender(router, context.ping_interval)),
        (AddressesSender.types, lambda router: AddressesSender(router, context.book)),
        (AddressesReceiver.types, lambda router: AddressesReceiver(router, context.book, publish_received)),
        (TransactionNotFound.types, TransactionNotFound),
        (RejectReceiver.types, RejectReceiver),
    ]
    flows = [make(router) for types, make in makers if not any(map(router.is_subscribed, types))]
    return [*flows, Inventories(router, context.publish), ConsensusReject(router)]
