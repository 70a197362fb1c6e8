"""The made-up block."""

from __future__ import annotations

from ziggurat.node.testing import sample_block
from ziggurat.node.wire.convert.block import block_from_wire, block_to_wire


def test_equal_arguments_give_equal_blocks_and_different_ones_different_blocks() -> None:
    assert sample_block() == sample_block()
    assert len({block.header.hash for block in (sample_block(), sample_block(5), sample_block(5, b"p" * 32))}) == 3


def test_it_survives_the_conversion_to_the_wire_and_back() -> None:
    block = sample_block(7, b"p" * 32, b"q" * 32)

    assert block_from_wire(block_to_wire(block)) == block
    assert block.header.parents == ((b"p" * 32, b"q" * 32),)
    assert [bool(transaction.inputs) for transaction in block.transactions] == [False, True]
