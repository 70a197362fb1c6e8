from __future__ import annotations

from ziggurat.node.wire.convert import ConversionError, errors


def test_the_reasons_are_kaspads() -> None:
    assert errors.MISSING == "Optional field is None while expected to be Some"
    assert errors.TOO_LARGE == "p2p conversion size too large error"
    assert errors.OUT_OF_RANGE.startswith("Integer parsing error: ")
    assert errors.WRONG_LENGTH.startswith("Bytes size mismatch error ")


def test_a_conversion_error_is_a_value_error_and_shows_its_reason() -> None:
    assert isinstance(ConversionError("x"), ValueError)
    assert str(ConversionError(errors.MISSING)) == errors.MISSING
