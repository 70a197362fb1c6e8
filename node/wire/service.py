"""The one gRPC method of the network: a stream of `KaspadMessage` both ways, for as long as the peers stay together.

grpclib takes the path and the message class as they are, so no stub is generated for it.
"""

from __future__ import annotations

from ziggurat.node.wire.p2p_pb2 import KaspadMessage

__all__ = ["MESSAGE_STREAM", "KaspadMessage"]

MESSAGE_STREAM = "/protowire.P2P/MessageStream"
"""``:path`` of the stream. The only place where kaspad's package name is seen on the wire: it must not say ours."""
