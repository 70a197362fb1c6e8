from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ziggurat.node.wire import p2p_pb2
from ziggurat.node.wire.convert.block import MAX_BLOCK_BODY, Block, block_from_wire, block_to_wire
from ziggurat.node.wire.convert.errors import MISSING, TOO_LARGE, ConversionError
from ziggurat.node.wire.convert.header import Header
from ziggurat.node.wire.convert.transaction import Transaction

HASH = b"h" * 32
HEADER = Header(2, ((HASH,),), HASH, HASH, HASH, 1, 2, 3, 4, 5, 6, HASH)
LARGE = Transaction(0, (), (), 0, bytes(20), 0, bytes(800 * 1024), 0)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.from_type(Block))
def test_a_block_survives_a_round_trip(block: Block) -> None:
    message = p2p_pb2.BlockMessage.FromString(block_to_wire(block).SerializeToString())

    assert block_from_wire(message) == block


def test_a_block_without_a_header_is_refused() -> None:
    with pytest.raises(ConversionError, match=MISSING):
        block_from_wire(p2p_pb2.BlockMessage())


def test_a_body_above_2_mib_is_refused_both_ways() -> None:
    small = block_to_wire(Block(HEADER, (LARGE,)))
    message = p2p_pb2.BlockMessage(header=small.header, transactions=[*small.transactions] * 3)

    with pytest.raises(ConversionError, match=TOO_LARGE):
        block_from_wire(message)
    with pytest.raises(ConversionError, match=TOO_LARGE):
        block_to_wire(Block(HEADER, (LARGE,) * 3))


def test_the_header_does_not_count_towards_the_limit() -> None:
    levels = tuple((bytes([level]) * 32,) * 2048 for level in range(255))  # all different, so not compressed
    message = block_to_wire(Block(replace(HEADER, parents=levels), (LARGE,) * 2))

    assert message.ByteSize() > MAX_BLOCK_BODY
    assert len(block_from_wire(message).transactions) == 2
