from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ziggurat.node.wire import p2p_pb2
from ziggurat.node.wire.convert.errors import MISSING, OUT_OF_RANGE, TOO_LARGE, ConversionError
from ziggurat.node.wire.convert.transaction import (
    MAX_TRANSACTION,
    CovenantBinding,
    Outpoint,
    ScriptPublicKey,
    Transaction,
    TransactionInput,
    TransactionOutput,
    transaction_from_wire,
    transaction_to_wire,
)

INPUT = TransactionInput(Outpoint(b"i" * 32, 1), b"script", 2, 3)
OUTPUT = TransactionOutput(4, ScriptPublicKey(0, b"key"), CovenantBinding(5, b"c" * 32))
PLAIN = Transaction(0, (INPUT,), (OUTPUT,), 6, b"s" * 20, 7, b"payload", 8)


@settings(deadline=None)
@given(st.from_type(Transaction))
def test_a_transaction_survives_a_round_trip(transaction: Transaction) -> None:
    message = p2p_pb2.TransactionMessage.FromString(transaction_to_wire(transaction).SerializeToString())

    assert transaction_from_wire(message) == transaction


def test_a_count_of_signature_operations_has_8_bits_and_a_compute_budget_16() -> None:
    large = (replace(INPUT, compute_commit=256),)

    with pytest.raises(ConversionError, match=OUT_OF_RANGE):
        transaction_to_wire(replace(PLAIN, inputs=large))
    message = transaction_to_wire(replace(PLAIN, version=1, inputs=large))
    assert transaction_from_wire(message).inputs[0].compute_commit == 256
    message.version = 0
    with pytest.raises(ConversionError, match=OUT_OF_RANGE):
        transaction_from_wire(message)


def test_a_compute_budget_of_17_bits_is_refused() -> None:
    message = transaction_to_wire(replace(PLAIN, version=1))
    message.inputs[0].compute_commit = 65536

    with pytest.raises(ConversionError, match=OUT_OF_RANGE):
        transaction_from_wire(message)


def without_subnetwork(message: p2p_pb2.TransactionMessage) -> None:
    message.ClearField("subnetworkId")


def without_outpoint(message: p2p_pb2.TransactionMessage) -> None:
    message.inputs[0].ClearField("previousOutpoint")


def without_transaction_id(message: p2p_pb2.TransactionMessage) -> None:
    message.inputs[0].previousOutpoint.ClearField("transactionId")


def without_script(message: p2p_pb2.TransactionMessage) -> None:
    message.outputs[0].ClearField("scriptPublicKey")


def without_covenant_id(message: p2p_pb2.TransactionMessage) -> None:
    message.outputs[0].covenant.ClearField("covenantId")


@pytest.mark.parametrize(
    "remove", [without_subnetwork, without_outpoint, without_transaction_id, without_script, without_covenant_id]
)
def test_an_absent_part_is_refused(remove: Callable[[p2p_pb2.TransactionMessage], None]) -> None:
    message = transaction_to_wire(PLAIN)
    remove(message)

    with pytest.raises(ConversionError, match=MISSING):
        transaction_from_wire(message)


def test_an_output_may_have_no_covenant() -> None:
    message = transaction_to_wire(replace(PLAIN, outputs=(replace(OUTPUT, covenant=None),)))

    assert not message.outputs[0].HasField("covenant")
    assert transaction_from_wire(message).outputs[0].covenant is None


def test_received_16_bit_numbers_are_checked() -> None:
    message = transaction_to_wire(PLAIN)
    message.version = 65536
    with pytest.raises(ConversionError, match=OUT_OF_RANGE):
        transaction_from_wire(message)
    message = transaction_to_wire(PLAIN)
    message.outputs[0].scriptPublicKey.version = 65536
    with pytest.raises(ConversionError, match=OUT_OF_RANGE):
        transaction_from_wire(message)
    message = transaction_to_wire(PLAIN)
    message.outputs[0].covenant.authorizingInput = 65536
    with pytest.raises(ConversionError, match=OUT_OF_RANGE):
        transaction_from_wire(message)


def test_more_than_1_mib_is_refused_both_ways() -> None:
    message = transaction_to_wire(PLAIN)
    message.payload = bytes(MAX_TRANSACTION)

    with pytest.raises(ConversionError, match=TOO_LARGE):
        transaction_from_wire(message)
    with pytest.raises(ConversionError, match=TOO_LARGE):
        transaction_to_wire(replace(PLAIN, payload=bytes(MAX_TRANSACTION)))


@pytest.mark.parametrize("field", ["version", "lock_time", "gas", "storage_mass"])
def test_a_number_that_does_not_fit_is_refused(field: str) -> None:
    with pytest.raises(ConversionError, match=OUT_OF_RANGE):
        transaction_to_wire(replace(PLAIN, **{field: 2**64}))
