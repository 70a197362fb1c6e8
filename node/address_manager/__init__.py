"""The address book: known nodes, how often they failed, and which to dial next.

A writer thread keeps it in SQLite. Imported by the P2P service, the settings and `ziggurat.node.inbound`.
"""

from __future__ import annotations

from ziggurat.node.address_manager.manager import MAX_ADDRESSES, AddressManager
from ziggurat.node.address_manager.routable import is_publicly_routable, is_worth_dialling
from ziggurat.node.address_manager.store import StoreError
from ziggurat.node.address_manager.views import DialAddressBook, FlowAddressBook

__all__ = [
    "MAX_ADDRESSES",
    "AddressManager",
    "DialAddressBook",
    "FlowAddressBook",
    "StoreError",
    "is_publicly_routable",
    "is_worth_dialling",
]
