"""A made-up block to announce."""

from __future__ import annotations

from ziggurat.node.wire import (
    Block,
    Header,
    Outpoint,
    ScriptPublicKey,
    Transaction,
    TransactionInput,
    TransactionOutput,
)

__all__ = ["sample_block"]

NATIVE, COINBASE = bytes(20), b"\1" + bytes(19)
PUBLIC_KEY = ScriptPublicKey(0, b"\x20" + 32 * b"\2" + b"\xac")  # push 32 bytes, OP_CHECKSIG
KAS = 100_000_000


def sample_block(blue_score: int = 1000, *parents: bytes) -> Block:
    """Make up a well-formed block with a coinbase and one payment; the same arguments give the same block.

    No kaspad accepts it: its proof of work, signature and commitments are made up too.

    Args:
        blue_score: the blue score and the DAA score of the block.
        *parents: the hashes of its direct parents, 32 bytes each; without any, one parent of zeros.
    """
    payment = Transaction(
        version=0,
        inputs=(TransactionInput(Outpoint(32 * b"\3", 0), b"\x41" + 65 * b"\4", 0, 1),),
        outputs=(TransactionOutput(25 * KAS, PUBLIC_KEY), TransactionOutput(74 * KAS, PUBLIC_KEY)),
        lock_time=0,
        subnetwork_id=NATIVE,
        gas=0,
        payload=b"",
        storage_mass=1000,
    )
    coinbase = Transaction(0, (), (TransactionOutput(5 * KAS, PUBLIC_KEY),), 0, COINBASE, 0, b"made up", 0)
    header = Header(
        version=1,
        parents=(parents or (bytes(32),),),
        hash_merkle_root=32 * b"\5",
        accepted_id_merkle_root=32 * b"\6",
        utxo_commitment=32 * b"\7",
        timestamp=1_767_225_600_000 + 100 * blue_score,
        bits=0x207FFFFF,
        nonce=0,
        daa_score=blue_score,
        blue_work=2 * blue_score,
        blue_score=blue_score,
        pruning_point=bytes(32),
    )
    return Block(header, (coinbase, payment))
