"""The context of the default flows, and the function that creates them for a peer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from ziggurat.node.address import AddressNetwork, NodeAddress
from ziggurat.node.flows.address_answers import AddressAnswers
from ziggurat.node.flows.addresses import AddressBook, AddressesReceiver, AddressesSender, NoAddressBook
from ziggurat.node.flows.consensus_reject import ConsensusReject
from ziggurat.node.flows.inventories import Inventories
from ziggurat.node.flows.onions import OnionGossip
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
        parts: the address book for the peers of a network, where it is not ``book``: so that peers on one side are not
            told what those on another side told.
        onions: what is told of onion services, and to whom.
        answers: what requests for addresses are answered with, from the book of the peer's network.
    """

    book: AddressBook = field(default_factory=NoAddressBook)
    publish: Callable[[Event], None] = _ignore
    ping_interval: float = PING_INTERVAL
    parts: Mapping[AddressNetwork, AddressBook] = field(default_factory=dict[AddressNetwork, AddressBook])
    onions: OnionGossip = field(default_factory=OnionGossip)
    answers: Mapping[AddressNetwork, AddressAnswers] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        answers = {network: AddressAnswers(self.part(network)) for network in AddressNetwork}
        object.__setattr__(self, "answers", answers)

    def part(self, network: AddressNetwork) -> AddressBook:
        """Return the address book for the peers of a network."""
        return self.parts.get(network, self.book)


def default_flows(router: Router, context: FlowContext) -> list[Flow]:
    """Create the default flows for one peer, except those whose message types another flow has subscribed to."""

    network = router.info.address_network
    book, answers = context.part(network), context.answers[network]

    async def publish_received(addresses: tuple[NodeAddress, ...]) -> None:
        context.publish(AddressesReceived(router.info, addresses))

    makers: list[tuple[tuple[str, ...], FlowFactory]] = [
        (PingResponder.types, PingResponder),
        (PingSender.types, lambda router: PingSender(router, context.ping_interval)),
        (AddressesSender.types, lambda router: AddressesSender(router, answers, context.onions)),
        (AddressesReceiver.types, lambda router: AddressesReceiver(router, book, publish_received)),
        (TransactionNotFound.types, TransactionNotFound),
        (RejectReceiver.types, RejectReceiver),
    ]
    flows = [make(router) for types, make in makers if not any(map(router.is_subscribed, types))]
    return [*flows, Inventories(router, context.publish), ConsensusReject(router)]
