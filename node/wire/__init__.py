"""The wire format: the protobuf schema, the code generated from it, and the checks that a schema cannot express.

``p2p.proto`` is written by hand; ``p2p_pb2.py`` and ``p2p_pb2.pyi`` are generated from it and committed, so that
installing the node needs no compiler. To regenerate them, at the root of a checkout and in a separate environment
(the compiler is old on purpose: code from newer ones refuses older protobuf runtimes)::

    pip install "grpcio-tools==1.64.3" "mypy-protobuf==3.6.0"
    python -m grpc_tools.protoc -I .dev --python_out=.dev --mypy_out=.dev ziggurat/node/wire/p2p.proto
"""

from __future__ import annotations

from ziggurat.node.wire import p2p_pb2
from ziggurat.node.wire.codec import MessageCodec, Wanted
from ziggurat.node.wire.convert.block import Block, block_from_wire, block_to_wire
from ziggurat.node.wire.convert.errors import ConversionError
from ziggurat.node.wire.convert.header import Header
from ziggurat.node.wire.convert.inventory import (
    inv_relay_block_from_wire,
    inv_relay_block_to_wire,
    inv_transactions_from_wire,
    request_relay_blocks_from_wire,
    request_relay_blocks_to_wire,
    request_transactions_from_wire,
    transaction_not_found_to_wire,
)
from ziggurat.node.wire.convert.net_address import MAX_ADDRESSES_SENT, addresses_from_wire, addresses_to_wire
from ziggurat.node.wire.convert.transaction import (
    CovenantBinding,
    Outpoint,
    ScriptPublicKey,
    Transaction,
    TransactionInput,
    TransactionOutput,
)
from ziggurat.node.wire.convert.version import (
    ONION_SERVICES,
    PEER_ID_BYTES,
    Version,
    truncated_user_agent,
    version_from_wire,
    version_to_wire,
)
from ziggurat.node.wire.cost import MESSAGE_COST
from ziggurat.node.wire.p2p_pb2 import (
    InvTransactionsMessage,
    KaspadMessage,
    PingMessage,
    PongMessage,
    ReadyMessage,
    RejectMessage,
    RequestAddressesMessage,
    VerackMessage,
    VersionMessage,
)
from ziggurat.node.wire.stream import MESSAGE_STREAM, STREAM_ENDED, LossReason, MessageStream, StreamLost, stream_lost

__all__ = [
    "MAX_ADDRESSES_SENT",
    "MESSAGE_COST",
    "MESSAGE_STREAM",
    "ONION_SERVICES",
    "PEER_ID_BYTES",
    "STREAM_ENDED",
    "Block",
    "ConversionError",
    "CovenantBinding",
    "Header",
    "InvTransactionsMessage",
    "KaspadMessage",
    "LossReason",
    "MessageCodec",
    "MessageStream",
    "Outpoint",
    "PingMessage",
    "PongMessage",
    "ReadyMessage",
    "RejectMessage",
    "RequestAddressesMessage",
    "ScriptPublicKey",
    "StreamLost",
    "Transaction",
    "TransactionInput",
    "TransactionOutput",
    "VerackMessage",
    "Version",
    "VersionMessage",
    "Wanted",
    "addresses_from_wire",
    "addresses_to_wire",
    "block_from_wire",
    "block_to_wire",
    "inv_relay_block_from_wire",
    "inv_relay_block_to_wire",
    "inv_transactions_from_wire",
    "p2p_pb2",
    "request_relay_blocks_from_wire",
    "request_relay_blocks_to_wire",
    "request_transactions_from_wire",
    "stream_lost",
    "transaction_not_found_to_wire",
    "truncated_user_agent",
    "version_from_wire",
    "version_to_wire",
]
