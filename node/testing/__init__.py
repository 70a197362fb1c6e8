"""Counterparts for demos and tests: a peer that behaves like kaspad, and a network in memory.

Public, for testing flows. Within the project only the command line's demo imports it.
"""

from ziggurat.node.testing.blocks import sample_block
from ziggurat.node.testing.kaspa_peer import KaspaPeer
from ziggurat.node.testing.kaspa_session import KaspaSession
from ziggurat.node.testing.network import MemoryHost, MemoryListener, MemoryNetwork

__all__ = ["KaspaPeer", "KaspaSession", "MemoryHost", "MemoryListener", "MemoryNetwork", "sample_block"]
