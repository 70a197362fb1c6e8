"""The header of a block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b

from ziggurat.node.wire.convert.hashes import HASH_BYTES, hash_from_wire, hash_to_wire
from ziggurat.node.wire.convert.integers import blue_work_from_wire, blue_work_to_wire, unsigned
from ziggurat.node.wire.convert.parents import parents_from_wire, parents_to_wire
from ziggurat.node.wire.p2p_pb2 import BlockHeader

__all__ = ["Header", "header_from_wire", "header_to_wire"]


@dataclass(frozen=True, slots=True)
class Header:
    """A header as a peer sent it: its rules have not been checked. Hashes are 32 bytes.

    Attributes:
        version: the version of the block, 16 bits.
        parents: the hashes of the parents, a tuple for each level; level 0, the direct parents, comes first.
        hash_merkle_root: the root of the Merkle tree over the hashes of the block's transactions.
        accepted_id_merkle_root: the commitment to the transactions that the block accepts.
        utxo_commitment: the commitment to the set of unspent outputs.
        timestamp: milliseconds since 1970, not negative.
        bits: the target of the proof of work, in compact form.
        nonce: the number that solves the proof of work, 64 bits.
        daa_score: the number of blocks that count for difficulty adjustment, up to this one.
        blue_work: the work in the block's blue past, 192 bits.
        blue_score: the number of blocks in the block's blue past.
        pruning_point: the hash of the block below which nodes may delete what they store.
    """

    version: int
    parents: tuple[tuple[bytes, ...], ...]
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

    @property
    def hash(self) -> bytes:
        """The hash of the block, 32 bytes; computed on each access."""
        digest = blake2b(key=b"BlockHash", digest_size=HASH_BYTES)
        for part in self._hashed():
            digest.update(part)
        return digest.digest()

    def _hashed(self) -> Iterator[bytes]:
        yield _little_endian(self.version, 2) + _little_endian(len(self.parents), 8)
        for level in self.parents:
            yield _little_endian(len(level), 8) + b"".join(level)
        yield self.hash_merkle_root + self.accepted_id_merkle_root + self.utxo_commitment
        yield _little_endian(self.timestamp, 8) + _little_endian(self.bits, 4) + _little_endian(self.nonce, 8)
        yield _little_endian(self.daa_score, 8) + _little_endian(self.blue_score, 8)
        work = blue_work_to_wire(self.blue_work)
        yield _little_endian(len(work), 8) + work + self.pruning_point


def header_from_wire(message: BlockHeader) -> Header:
    """Convert a header from its message.

    Raises:
        ConversionError: a hash is absent or malformed, or a number is out of range.
    """
    return Header(
        version=unsigned(message.version, 16),
        parents=parents_from_wire(message.parents),
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


def header_to_wire(header: Header) -> BlockHeader:
    """Convert a header to its message.

    Raises:
        ConversionError: a hash is malformed, or a number is out of range.
    """
    return BlockHeader(
        version=unsigned(header.version, 16),
        parents=parents_to_wire(header.parents),
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


def _little_endian(value: int, size: int) -> bytes:
    return value.to_bytes(size, "little")
