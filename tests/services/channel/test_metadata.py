from __future__ import annotations

from typing import Any

import pytest
from grpclib.metadata import encode_metadata
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.services.channel.metadata import _encode_once, decode_pairs, encode_pairs, encode_timeout


@pytest.mark.parametrize(
    ("seconds", "value"),
    [
        (0.0, b"0n"),
        (5e-7, b"500n"),
        (0.05, b"50000000n"),
        (0.5, b"500000u"),
        (30.0, b"30000000u"),
        (12.9, b"12900000u"),
        (100.0, b"100000m"),
        (99_999.0, b"99999000m"),
        (1e6, b"1000000S"),
        (1e9, b"16666666M"),
        (1e10, b"2777777H"),
        (1e15, b"99999999H"),
    ],
)
def test_a_timeout_is_in_the_finest_unit_that_has_room(seconds: float, value: bytes) -> None:
    assert encode_timeout(seconds) == value


@given(st.floats(0, 1e18))
def test_a_timeout_has_at_most_eight_digits(seconds: float) -> None:
    digits, unit = encode_timeout(seconds)[:-1], encode_timeout(seconds)[-1:]
    assert 1 <= len(digits) <= 8
    assert digits.isdigit()
    assert unit in (b"n", b"u", b"m", b"S", b"M", b"H")


def test_metadata_goes_over_and_back() -> None:
    pairs = [("x-a", "1"), ("x-a", "2"), ("x-b-bin", b"\0\xff"), ("x-c-bin", b""), ("x-d", "a,b")]
    assert decode_pairs(encode_pairs(pairs)) == (pairs, None)


def test_fields_of_the_protocol_are_no_metadata() -> None:
    fields = [
        (b":status", b"200"),
        (b"content-type", b"x"),
        (b"te", b"x"),
        (b"user-agent", b"x"),
        (b"grpc-status", b"0"),
    ]
    assert decode_pairs(fields) == ([], None)


def test_binary_values_may_share_a_field_with_padding_or_without() -> None:
    assert decode_pairs([(b"x-bin", b"AA==,AQ, Ag==")]) == (
        [("x-bin", b"\0"), ("x-bin", b"\1"), ("x-bin", b"\2")],
        None,
    )


@pytest.mark.parametrize("value", [b"!", b"AAAAA", b"A\xff==", b"A A="])
def test_what_is_not_base64_is_left_out_and_told(value: bytes) -> None:
    pairs, fault = decode_pairs([(b"x-a", b"1"), (b"x-bin", value), (b"x-b", b"2")])
    assert pairs == [("x-a", "1"), ("x-b", "2")]
    assert fault == "the metadata 'x-bin' is not base64"


def test_a_byte_beyond_ascii_in_a_text_value_is_taken_as_latin_1() -> None:
    assert decode_pairs([(b"x-name", b"J\xf6rg")]) == ([("x-name", "J\xf6rg")], None)


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize(
    ("pair", "error"),
    [
        (("Upper", "x"), ValueError),
        (("grpc-x", "x"), ValueError),
        (("x-bin", "text"), TypeError),
        (("x", b"bytes"), TypeError),
        (("x", "line\nbreak"), ValueError),
        (("x", 1), TypeError),
    ],
)
def test_what_cannot_be_sent_is_refused_as_in_grpclib_each_time(pair: Any, error: type[Exception], times: int) -> None:
    for _ in range(times):
        with pytest.raises(error) as ours:
            encode_pairs([pair])
        with pytest.raises(error) as theirs:
            encode_metadata([pair])
        assert str(ours.value) == str(theirs.value)


def test_large_values_and_secrets_are_encoded_and_not_remembered() -> None:
    before = _encode_once.cache_info().currsize
    assert encode_pairs({"x-a": "v" * 5000}) == [(b"x-a", b"v" * 5000)]
    assert encode_pairs({"authorization": "Bearer s3cret"}) == [(b"authorization", b"Bearer s3cret")]
    assert _encode_once.cache_info().currsize == before
