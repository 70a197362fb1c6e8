"""Hashes and ids: raw bytes of one length each. In the node they are plain ``bytes``, shown by ``.hex()``.

Absent and present-but-empty are different errors, as they are to kaspad; so whoever reads an optional field says with
``present`` which of the two it is.
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
    """Read 32 bytes.

    Raises:
        ConversionError: the field is absent, or of another length.
    """
    if not present:
        raise ConversionError(MISSING)
    return _require_length(message.bytes, HASH_BYTES, WRONG_LENGTH)


def hash_to_wire(value: bytes) -> Hash:
    """Write 32 bytes.

    Raises:
        ConversionError: there are more or fewer.
    """
    return Hash(bytes=_require_length(value, HASH_BYTES, WRONG_LENGTH))


def hashes_from_wire(messages: Iterable[Hash]) -> tuple[bytes, ...]:
    """Read a list of hashes; one bad entry spoils it.

    Raises:
        ConversionError: an entry has another length.
    """
    return tuple(map(hash_from_wire, messages))


def hashes_to_wire(values: Iterable[bytes]) -> list[Hash]:
    """Write a list of hashes.

    Raises:
        ConversionError: an entry has another length.
    """
    return list(map(hash_to_wire, values))


def transaction_id_from_wire(message: TransactionId, *, present: bool = True) -> bytes:
    """Read 32 bytes.

    Raises:
        ConversionError: the field is absent, or of another length.
    """
    if not present:
        raise ConversionError(MISSING)
    return _require_length(message.bytes, HASH_BYTES, WRONG_LENGTH)


def transaction_id_to_wire(value: bytes) -> TransactionId:
    """Write 32 bytes.

    Raises:
        ConversionError: there are more or fewer.
    """
    return TransactionId(bytes=_require_length(value, HASH_BYTES, WRONG_LENGTH))


def subnetwork_id_from_wire(message: SubnetworkId, *, present: bool = True) -> bytes | None:
    """Read 20 bytes; an absent field is ``None``.

    Raises:
        ConversionError: the field is there and of another length, e.g. empty.
    """
    return _require_length(message.bytes, SUBNETWORK_ID_BYTES, WRONG_SUBNETWORK_LENGTH) if present else None


def subnetwork_id_to_wire(value: bytes | None) -> SubnetworkId | None:
    """Write 20 bytes; ``None`` leaves the field absent.

    Raises:
        ConversionError: there are more or fewer.
    """
    return (
        None
        if value is None
        else SubnetworkId(bytes=_require_length(value, SUBNETWORK_ID_BYTES, WRONG_SUBNETWORK_LENGTH))
    )
