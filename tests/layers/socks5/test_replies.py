"""Every code has a name; an unknown one keeps its number."""

from __future__ import annotations

import pytest

from ziggurat.layers.socks5.replies import REPLIES, reply


def test_the_rfc_and_tor_codes_are_there() -> None:
    assert set(REPLIES) == {*range(1, 9), *range(0xF0, 0xF8)}


@pytest.mark.parametrize("code", sorted(REPLIES))
def test_a_known_code_has_a_name_and_a_hint(code: int) -> None:
    assert reply(code).name != "unknown reply"
    assert reply(code).hint


@pytest.mark.parametrize("code", [0x09, 0x5A, 0xEF, 0xF8, 0xFF])
def test_an_unknown_code_counts_as_transient(code: int) -> None:
    assert reply(code).name == "unknown reply"
    assert reply(code).transient


@pytest.mark.parametrize("code", [0x02, 0x07, 0x08, 0xF4, 0xF5, 0xF6])
def test_permanent_refusals_are_not_transient(code: int) -> None:
    assert not reply(code).transient
