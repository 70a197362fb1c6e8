"""The header of a block."""

from __future__ import annotations

from dataclasses import dataclass

from ziggurat.node.wire.convert.hashes import hash_from_wire, hash_to_wire
from ziggurat.node.wire.convert.integers import blue_work_from_wire, blue_work_to_wire, unsigned
from ziggurat.node.wire.convert.parents import Parents, parents_from_wire, parents_to_wire
from ziggurat.node.wire.p2p_pb2 import BlockHeader

__all__ = ["Header", "header_from_wire", "header_to_wire"]


@dataclass(frozen=True, slots=True)
class Header:
    """A header, as it was sent: nothing here says that it is valid.

    Attributes:
        version: 16 bits.
        parents: hashes for each level, level 0 (the direct ones) first.
        timestamp: milliseconds since 1970, not negative.
        blue_work: 192 bits.
    """

    version: int
    parents: Parents
    hash_merkle_root: bytes
    accepted_id_merkle_root: bytes
    utxo_commitment: bytes
    timestamp: int
    bits: int
    nonce: int
    daa_score: int
    blue_work: int
    blue_score: int
    pruning_point: bytes


def header_from_wire(message: BlockHeader, *, runs: bool = True) -> Header:
    """Read a header.

    Args:
        message: the header.
        runs: whether the peer speaks protocol version 9 or later, see `parents_from_wire`.

    Raises:
        ConversionError: a hash is absent or malformed, or a number out of range.
    """
    return Header(
        version=unsigned(message.version, 16),
        parents=parents_from_wire(message.parents, runs=runs),
        hash_merkle_root=hash_from_wire(message.hashMerkleRoot, present=message.HasField("hashMerkleRoot")),
        accepted_id_merkle_root=hash_from_wire(
            message.acceptedIdMerkleRoot, present=message.HasField("acceptedIdMerkleRoot")
        ),
        utxo_commitment=hash_from_wire(message.utxoCommitment, present=message.HasField("utxoCommitment")),
        timestamp=unsigned(message.timestamp, 63),
        bits=message.bits,
        nonce=message.nonce,
        daa_score=message.daaScore,
        blue_work=blue_work_from_wire(message.blueWork),
        blue_score=message.blueScore,
        pruning_point=hash_from_wire(message.pruningPoint, present=message.HasField("pruningPoint")),
    )


def header_to_wire(header: Header, *, runs: bool = True) -> BlockHeader:
    """Write a header.

    Args:
        header: the header.
        runs: whether the peer speaks protocol version 9 or later, see `parents_to_wire`.

    Raises:
        ConversionError: a hash is malformed, or a number out of range.
    """
    return BlockHeader(
        version=unsigned(header.version, 16),
        parents=parents_to_wire(header.parents, runs=runs),
        hashMerkleRoot=hash_to_wire(header.hash_merkle_root),
        acceptedIdMerkleRoot=hash_to_wire(header.accepted_id_merkle_root),
        utxoCommitment=hash_to_wire(header.utxo_commitment),
        timestamp=unsigned(header.timestamp, 63),
        bits=unsigned(header.bits, 32),
        nonce=unsigned(header.nonce, 64),
        daaScore=unsigned(header.daa_score, 64),
        blueWork=blue_work_to_wire(header.blue_work),
        blueScore=unsigned(header.blue_score, 64),
        pruningPoint=hash_to_wire(header.pruning_point),
    )
