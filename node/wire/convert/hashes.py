"""Hashes and ids, each of a fixed length. The node stores them as plain ``bytes``.

As in kaspad, an absent field and an empty one are different errors, so callers pass ``present`` for optional fields.
"""

from __future__ import annotations

from collections.abc import Iterable

from ziggurat.node.wire.convert.errors import MISSING, WRONG_LENGTH, ConversionError
from ziggurat.node.wire.p2p_pb2 import Hash, SubnetworkId, TransactionId

__all__ = [
    "HASH_BYTES",
    "SUBNETWORK_ID_BYTES",
    "hash_from_wire",
    "hash_to_wire",
    "hashes_from_wire",
    "hashes_to_wire",
    "subnetwork_id_from_wire",
    "subnetwork_id_to_wire",
    "transaction_id_from_wire",
    "transaction_id_to_wire",
]

HASH_BYTES = 32
SUBNETWORK_ID_BYTES = 20
WRONG_SUBNETWORK_LENGTH = "could not convert slice to array"


def _require_length(value: bytes, length: int, reason: str) -> bytes:
    if len(value) != length:
        raise ConversionError(reason)
    return value


def hash_from_wire(message: Hash, *, present: bool = True) -> bytes:
    """Return the 32 bytes of a hash.

    Raises:
        ConversionError: the field is absent, or does not have 32 bytes.
    """
    if not present:
        raise ConversionError(MISSING)
    return _require_length(message.bytes, HASH_BYTES, WRONG_LENGTH)


def hash_to_wire(value: bytes) -> Hash:
    """Convert a hash to its message.

    Raises:
        ConversionError: the value does not have 32 bytes.
    """
    return Hash(bytes=_require_length(value, HASH_BYTES, WRONG_LENGTH))


def hashes_from_wire(messages: Iterable[Hash]) -> tuple[bytes, ...]:
    """Convert a list of hashes. One malformed entry makes the list invalid.

    Raises:
        ConversionError: an entry does not have 32 bytes.
    """
    return tuple(map(hash_from_wire, messages))


def hashes_to_wire(values: Iterable[bytes]) -> list[Hash]:
    """Convert a list of hashes to messages.

    Raises:
        ConversionError: an entry does not have 32 bytes.
    """
    return list(map(hash_to_wire, values))


def transaction_id_from_wire(message: TransactionId, *, present: bool = True) -> bytes:
    """Return the 32 bytes of a transaction id.

    Raises:
        ConversionError: the field is absent, or does not have 32 bytes.
    """
    if not present:
        raise ConversionError(MISSING)
    return _require_length(message.bytes, HASH_BYTES, WRONG_LENGTH)


def transaction_id_to_wire(value: bytes) -> TransactionId:
    """Convert a transaction id to its message.

    Raises:
        ConversionError: the value does not have 32 bytes.
    """
    return TransactionId(bytes=_require_length(value, HASH_BYTES, WRONG_LENGTH))


def subnetwork_id_from_wire(message: SubnetworkId, *, present: bool = True) -> bytes | None:
    """Return the 20 bytes of a subnetwork id, or ``None`` if the field is absent.

    Raises:
        ConversionError: the field is present but does not have 20 bytes, e.g. is empty.
    """
    return _require_length(message.bytes, SUBNETWORK_ID_BYTES, WRONG_SUBNETWORK_LENGTH) if present else None


def subnetwork_id_to_wire(value: bytes | None) -> SubnetworkId | None:
    """Convert a subnetwork id to its message; ``None`` leaves the field absent.

    Raises:
        ConversionError: the value does not have 20 bytes.
    """
    return (
        None
        if value is None
        else SubnetworkId(bytes=_require_length(value, SUBNETWORK_ID_BYTES, WRONG_SUBNETWORK_LENGTH))
    )
