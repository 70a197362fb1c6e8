"""Transactions: inputs, outputs and their parts."""

from __future__ import annotations

from dataclasses import dataclass

from ziggurat.node.wire import p2p_pb2
from ziggurat.node.wire.convert.errors import MISSING, TOO_LARGE, ConversionError
from ziggurat.node.wire.convert.hashes import (
    hash_from_wire,
    hash_to_wire,
    subnetwork_id_from_wire,
    subnetwork_id_to_wire,
    transaction_id_from_wire,
    transaction_id_to_wire,
)
from ziggurat.node.wire.convert.integers import unsigned

__all__ = [
    "MAX_TRANSACTION",
    "CovenantBinding",
    "Outpoint",
    "ScriptPublicKey",
    "Transaction",
    "TransactionInput",
    "TransactionOutput",
    "transaction_from_wire",
    "transaction_to_wire",
]

MAX_TRANSACTION = 1024 * 1024
"""Bytes of the encoded message; kaspad's limit."""


@dataclass(frozen=True, slots=True)
class Outpoint:
    """The output ``index`` of an earlier transaction, whose id has 32 bytes."""

    transaction_id: bytes
    index: int


@dataclass(frozen=True, slots=True)
class ScriptPublicKey:
    """The script that a spender of an output must satisfy, and its version, 16 bits."""

    version: int
    script: bytes


@dataclass(frozen=True, slots=True)
class CovenantBinding:
    """The covenant that an output belongs to.

    Attributes:
        authorizing_input: the index of the input that allows it, 16 bits.
        covenant_id: 32 bytes.
    """

    authorizing_input: int
    covenant_id: bytes


@dataclass(frozen=True, slots=True)
class TransactionInput:
    """An output that a transaction spends.

    Attributes:
        previous_outpoint: the output.
        signature_script: the script that unlocks it.
        sequence: the relative lock time, 64 bits.
        compute_commit: the number of signature operations (8 bits) in a transaction of version 0, and a compute budget
            (16 bits) in later ones.
    """

    previous_outpoint: Outpoint
    signature_script: bytes
    sequence: int
    compute_commit: int


@dataclass(frozen=True, slots=True)
class TransactionOutput:
    """An output that a transaction creates.

    Attributes:
        value: the amount in sompi; 100 000 000 are one KAS.
        script_public_key: the condition for spending it.
        covenant: the covenant that it belongs to; ``None`` for most.
    """

    value: int
    script_public_key: ScriptPublicKey
    covenant: CovenantBinding | None = None


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction as a peer sent it: its rules have not been checked.

    Attributes:
        version: the version of the transaction, 16 bits.
        inputs: the outputs that it spends; empty for a coinbase.
        outputs: the outputs that it creates.
        lock_time: the DAA score, or the time in milliseconds since 1970, before which no block may include it.
        subnetwork_id: 20 bytes; zeros for an ordinary transaction, 1 and zeros for a coinbase.
        gas: the gas that it may use in its subnetwork.
        payload: arbitrary data; in a coinbase, the blue score, the subsidy and the address that the miner is paid at.
        storage_mass: the storage mass that it commits to; 0 in a coinbase.
    """

    version: int
    inputs: tuple[TransactionInput, ...]
    outputs: tuple[TransactionOutput, ...]
    lock_time: int
    subnetwork_id: bytes
    gas: int
    payload: bytes
    storage_mass: int


def transaction_from_wire(message: p2p_pb2.TransactionMessage) -> Transaction:
    """Convert a transaction from its message.

    Raises:
        ConversionError: the message is larger than 1 MiB, a part is absent or malformed, or a number is out of range.
    """
    if message.ByteSize() > MAX_TRANSACTION:
        raise ConversionError(TOO_LARGE)
    subnetwork_id = subnetwork_id_from_wire(message.subnetworkId, present=message.HasField("subnetworkId"))
    if subnetwork_id is None:
        raise ConversionError(MISSING)
    version = unsigned(message.version, 16)
    return Transaction(
        version=version,
        inputs=tuple(_input_from_wire(entry, version) for entry in message.inputs),
        outputs=tuple(map(_output_from_wire, message.outputs)),
        lock_time=message.lockTime,
        subnetwork_id=subnetwork_id,
        gas=message.gas,
        payload=message.payload,
        storage_mass=message.storage_mass,
    )


def transaction_to_wire(transaction: Transaction) -> p2p_pb2.TransactionMessage:
    """Convert a transaction to its message.

    Raises:
        ConversionError: the message is larger than 1 MiB, an id is malformed, or a number is out of range.
    """
    message = p2p_pb2.TransactionMessage(
        version=unsigned(transaction.version, 16),
        inputs=[_input_to_wire(entry, transaction.version) for entry in transaction.inputs],
        outputs=list(map(_output_to_wire, transaction.outputs)),
        lockTime=unsigned(transaction.lock_time, 64),
        subnetworkId=subnetwork_id_to_wire(transaction.subnetwork_id),
        gas=unsigned(transaction.gas, 64),
        payload=transaction.payload,
        storage_mass=unsigned(transaction.storage_mass, 64),
    )
    if message.ByteSize() > MAX_TRANSACTION:
        raise ConversionError(TOO_LARGE)
    return message


def _commit_bits(version: int) -> int:
    return 16 if version >= 1 else 8


def _input_from_wire(message: p2p_pb2.TransactionInput, version: int) -> TransactionInput:
    if not message.HasField("previousOutpoint"):
        raise ConversionError(MISSING)
    outpoint = message.previousOutpoint
    return TransactionInput(
        previous_outpoint=Outpoint(
            transaction_id_from_wire(outpoint.transactionId, present=outpoint.HasField("transactionId")), outpoint.index
        ),
        signature_script=message.signatureScript,
        sequence=message.sequence,
        compute_commit=unsigned(message.compute_commit, _commit_bits(version)),
    )


def _input_to_wire(entry: TransactionInput, version: int) -> p2p_pb2.TransactionInput:
    return p2p_pb2.TransactionInput(
        previousOutpoint=p2p_pb2.Outpoint(
            transactionId=transaction_id_to_wire(entry.previous_outpoint.transaction_id),
            index=unsigned(entry.previous_outpoint.index, 32),
        ),
        signatureScript=entry.signature_script,
        sequence=unsigned(entry.sequence, 64),
        compute_commit=unsigned(entry.compute_commit, _commit_bits(version)),
    )


def _output_from_wire(message: p2p_pb2.TransactionOutput) -> TransactionOutput:
    if not message.HasField("scriptPublicKey"):
        raise ConversionError(MISSING)
    key = message.scriptPublicKey
    return TransactionOutput(
        value=message.value,
        script_public_key=ScriptPublicKey(unsigned(key.version, 16), key.script),
        covenant=_covenant_from_wire(message.covenant) if message.HasField("covenant") else None,
    )


def _covenant_from_wire(message: p2p_pb2.CovenantBinding) -> CovenantBinding:
    return CovenantBinding(
        unsigned(message.authorizingInput, 16),
        hash_from_wire(message.covenantId, present=message.HasField("covenantId")),
    )


def _output_to_wire(entry: TransactionOutput) -> p2p_pb2.TransactionOutput:
    key, covenant = entry.script_public_key, entry.covenant
    return p2p_pb2.TransactionOutput(
        value=unsigned(entry.value, 64),
        scriptPublicKey=p2p_pb2.ScriptPublicKey(script=key.script, version=unsigned(key.version, 16)),
        covenant=None
        if covenant is None
        else p2p_pb2.CovenantBinding(
            authorizingInput=unsigned(covenant.authorizing_input, 16), covenantId=hash_to_wire(covenant.covenant_id)
        ),
    )
