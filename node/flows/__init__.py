"""The default flows, one protocol exchange per module, and the types for writing flows.

A flow is created with a peer's `Router`, subscribes to message types, and exchanges messages in ``run``. A user's flows
are created first; ours leave out the types that those subscribe to. Imported by the adaptor and the service.
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
from ziggurat.node.flows.onions import OnionGossip
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
    "OnionGossip",
    "PingResponder",
    "PingSender",
    "RejectReceiver",
    "TransactionNotFound",
    "default_flows",
    "request_block",
]
