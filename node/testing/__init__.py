"""The far ends for demonstrations and tests: a peer that behaves like kaspad, and a network in memory.

Public: programs test their own flows with it. Imported by the command line's demo, and by no other room.
"""

from ziggurat.node.testing.blocks import sample_block
from ziggurat.node.testing.kaspa_peer import KaspaPeer
from ziggurat.node.testing.kaspa_session import KaspaSession
from ziggurat.node.testing.network import MemoryHost, MemoryListener, MemoryNetwork

__all__ = ["KaspaPeer", "KaspaSession", "MemoryHost", "MemoryListener", "MemoryNetwork", "sample_block"]
