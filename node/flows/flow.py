"""The context of the default flows, and the function that creates them for a peer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from ziggurat.node.address import NetAddress
from ziggurat.node.flows.address_answers import AddressAnswers
from ziggurat.node.flows.addresses import AddressBook, AddressesReceiver, AddressesSender, NoAddressBook
from ziggurat.node.flows.consensus_reject import ConsensusReject
from ziggurat.node.flows.inventories import Inventories
from ziggurat.node.flows.ping import PING_INTERVAL, PingResponder, PingSender
from ziggurat.node.flows.reject import RejectReceiver
from ziggurat.node.flows.transaction_not_found import TransactionNotFound
from ziggurat.node.peer import AddressesReceived, Event, Flow, Router

__all__ = ["FlowContext", "FlowFactory", "default_flows"]

FlowFactory: TypeAlias = Callable[[Router], Flow]
"""Creates a flow for one peer. The flow must subscribe at once: messages may arrive right after the handshake."""


def _ignore(event: Event) -> None:
    pass


@dataclass(frozen=True, slots=True)
class FlowContext:
    """The settings of the default flows.

    Attributes:
        book: the address book to read from and add to.
        publish: called with each event.
        ping_interval: the time between pings, in seconds.
        answers: what requests for addresses are answered with, from the book.
    """

    book: AddressBook = field(default_factory=NoAddressBook)
    publish: Callable[[Event], None] = _ignore
    ping_interval: float = PING_INTERVAL
    answers: AddressAnswers = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "answers", AddressAnswers(self.book))


def default_flows(router: Router, context: FlowContext) -> list[Flow]:
    """Create the default flows for one peer, except those whose message types another flow has subscribed to."""

    async def publish_received(addresses: tuple[NetAddress, ...]) -> None:
        context.publish(AddressesReceived(router.info, addresses))

    makers: list[tuple[tuple[str, ...], FlowFactory]] = [
        (PingResponder.types, PingResponder),
        (PingSender.types, lambda router: PingSender(router, context.ping_interval)),
        (AddressesSender.types, lambda router: AddressesSender(router, context.answers)),
        (AddressesReceiver.types, lambda router: AddressesReceiver(router, context.book, publish_received)),
        (TransactionNotFound.types, TransactionNotFound),
        (RejectReceiver.types, RejectReceiver),
    ]
    flows = [make(router) for types, make in makers if not any(map(router.is_subscribed, types))]
    return [*flows, Inventories(router, context.publish), ConsensusReject(router)]
