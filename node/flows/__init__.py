"""What the node says to its peers, one conversation a module, and what a user's own flows are made of.

A flow is made with the `Router` of a peer, subscribes to the message types that it takes, and talks in ``run``. A
user's own flows are made first, and ours leave the types alone that they take. Imported by the adaptor and the service.
"""

from __future__ import annotations

from ziggurat.node.flows.addresses import (
    AddressBook,
    AddressesReceiver,
    AddressesSender,
    AdvertisedAddress,
    NoAddressBook,
)
from ziggurat.node.flows.consensus_reject import ConsensusReject
from ziggurat.node.flows.flow import FlowContext, FlowFactory, default_flows
from ziggurat.node.flows.inventories import Inventories
from ziggurat.node.flows.ping import PING_INTERVAL, PingResponder, PingSender
from ziggurat.node.flows.reject import RejectReceiver
from ziggurat.node.flows.relay_block import BLOCK_TIMEOUT, request_block
from ziggurat.node.flows.transaction_not_found import TransactionNotFound

__all__ = [
    "BLOCK_TIMEOUT",
    "PING_INTERVAL",
    "AddressBook",
    "AddressesReceiver",
    "AddressesSender",
    "AdvertisedAddress",
    "ConsensusReject",
    "FlowContext",
    "FlowFactory",
    "Inventories",
    "NoAddressBook",
    "PingResponder",
    "PingSender",
    "RejectReceiver",
    "TransactionNotFound",
    "default_flows",
    "request_block",
]
