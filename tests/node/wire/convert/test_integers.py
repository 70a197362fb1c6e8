from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.node.wire.convert.errors import OUT_OF_RANGE, ConversionError
from ziggurat.node.wire.convert.integers import BLUE_WORK_BYTES, blue_work_from_wire, blue_work_to_wire, unsigned


@given(st.sampled_from([8, 16, 32, 63, 64]), st.integers())
def test_a_number_passes_only_if_it_fits_the_bits(bits: int, value: int) -> None:
    if 0 <= value < 2**bits:
        assert unsigned(value, bits) == value
    else:
        with pytest.raises(ConversionError, match=OUT_OF_RANGE):
            unsigned(value, bits)


@pytest.mark.parametrize("bits", [8, 16, 32, 63, 64])
def test_the_first_number_that_is_too_large_is_refused(bits: int) -> None:
    assert unsigned(2**bits - 1, bits) == 2**bits - 1
    with pytest.raises(ConversionError):
        unsigned(2**bits, bits)


@given(st.integers(0, 2**192 - 1))
def test_blue_work_survives_a_round_trip(work: int) -> None:
    assert blue_work_from_wire(blue_work_to_wire(work)) == work


@given(st.integers(0, 2**192 - 1))
def test_blue_work_is_written_without_leading_zeros(work: int) -> None:
    assert not blue_work_to_wire(work).startswith(b"\0")


@given(st.binary(max_size=BLUE_WORK_BYTES))
def test_leading_zeros_are_accepted(value: bytes) -> None:
    assert blue_work_to_wire(blue_work_from_wire(value)) == value.lstrip(b"\0")


def test_blue_work_is_big_endian_and_zero_is_empty() -> None:
    assert (blue_work_to_wire(0x1234), blue_work_to_wire(0)) == (b"\x12\x34", b"")


def test_more_than_192_bits_are_refused_both_ways() -> None:
    with pytest.raises(ConversionError, match="Bytes size mismatch error"):
        blue_work_from_wire(b"\0" * 25)
    with pytest.raises(ConversionError):
        blue_work_to_wire(2**192)
