"""Conversions between protobuf messages and the node's types: pure functions, one module for each type.

``x_from_wire`` validates its input and raises `ConversionError`, whose text is the reason for a Reject. ``x_to_wire``
raises the same for values that a peer would reject, so that a bug fails here and not at a remote peer.
"""

from __future__ import annotations

from ziggurat.node.wire.convert.errors import ConversionError

__all__ = ["ConversionError"]
