from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ziggurat.node.wire import p2p_pb2
from ziggurat.node.wire.convert.block import (
    MAX_BLOCK_BODY,
    Block,
    block_body_from_wire,
    block_body_to_wire,
    block_from_wire,
    block_to_wire,
)
from ziggurat.node.wire.convert.errors import MISSING, TOO_LARGE, ConversionError
from ziggurat.node.wire.convert.header import Header
from ziggurat.node.wire.convert.transaction import Transaction

HASH = b"h" * 32
HEADER = Header(2, ((HASH,),), HASH, HASH, HASH, 1, 2, 3, 4, 5, 6, HASH)
LARGE = Transaction(0, (), (), 0, bytes(20), 0, bytes(800 * 1024), 0)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.from_type(Block), st.booleans())
def test_a_block_comes_back(block: Block, runs: bool) -> None:
    message = p2p_pb2.BlockMessage.FromString(block_to_wire(block, runs=runs).SerializeToString())

    assert block_from_wire(message, runs=runs) == block
    assert block_body_from_wire(block_body_to_wire(block.transactions)) == block.transactions


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
    with pytest.raises(ConversionError, match=TOO_LARGE):
        block_body_from_wire(p2p_pb2.BlockBodyMessage(transactions=message.transactions))
    with pytest.raises(ConversionError, match=TOO_LARGE):
        block_body_to_wire((LARGE,) * 3)


def test_the_header_does_not_count() -> None:
    wide = Header(2, ((HASH,) * 2048,) * 255, HASH, HASH, HASH, 1, 2, 3, 4, 5, 6, HASH)
    message = block_to_wire(Block(wide, (LARGE,) * 2), runs=False)

    assert message.ByteSize() > MAX_BLOCK_BODY
    assert len(block_from_wire(message, runs=False).transactions) == 2
