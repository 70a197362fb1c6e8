"""Between what is on the wire and what the node works with: pure functions, one module for each noun.

``x_from_wire`` believes nothing and raises `ConversionError`, whose text is a reason for a Reject; ``x_to_wire`` raises
the same for a value that no peer would take, so that a bug of ours does not cost a connection far away.
"""

from __future__ import annotations

from ziggurat.node.wire.convert.errors import ConversionError

__all__ = ["ConversionError"]
