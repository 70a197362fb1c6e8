"""The address book: which nodes we have heard of, how often they failed, and which to try next.

Kept in SQLite by a thread of its own. Imported by the P2P service, the settings and the listener's side.
"""

from __future__ import annotations

from ziggurat.node.address_manager.manager import MAX_ADDRESSES, AddressManager
from ziggurat.node.address_manager.routable import is_publicly_routable
from ziggurat.node.address_manager.store import StoreError

__all__ = ["MAX_ADDRESSES", "AddressManager", "StoreError", "is_publicly_routable"]
