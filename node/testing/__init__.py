"""Far ends for demonstrations and tests of the node."""

from ziggurat.node.testing.demo_peer import DemoPeer

__all__ = ["DemoPeer"]
