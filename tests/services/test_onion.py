"""An onion address is verified: length, alphabet, version, checksum."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.services.onion import OnionAddress, is_onion

# The Tor Project's website and DuckDuckGo.
REAL = (
    "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion",
    "duckduckgogg42xjoc72x3sjasowoarfbgcmvfimaftt6twagswzczad.onion",
)
ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
V2 = "3g2upl4pq6kufc4m.onion"


@pytest.mark.parametrize("name", REAL)
def test_real_ones_are_valid(name: str) -> None:
    assert str(OnionAddress.parse(name)) == name


@pytest.mark.parametrize("name", [REAL[0].upper(), f"{REAL[0]}.", f"www.{REAL[0]}"])
def test_case_a_trailing_dot_and_labels_before_it_make_no_difference(name: str) -> None:
    assert OnionAddress.parse(name) == OnionAddress.parse(REAL[0])


@given(st.binary(min_size=32, max_size=32))
def test_any_key_has_a_name(key: bytes) -> None:
    name = str(OnionAddress(key))

    assert len(name) == 62
    assert OnionAddress.parse(name).public_key == key


def complaint(name: str) -> str | None:
    try:
        OnionAddress.parse(name)
    except ValueError as error:
        return str(error)
    return None


def test_any_other_character_is_noticed_but_for_one_in_65_536() -> None:
    """A checksum of two bytes cannot tell more."""
    undetected: list[str] = []
    for name, place, character in product(REAL, range(56), "abcdefghijklmnopqrstuvwxyz234567"):
        changed = name[:place] + character + name[place + 1 :]
        if changed != name:
            said = complaint(changed)
            assert said is None or "mistyped" in said
            undetected += [changed] if said is None else []

    assert undetected == ["23zyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion"]


@pytest.mark.parametrize("character", [chr(code) for code in range(128) if chr(code).lower() not in ALPHABET])
@pytest.mark.parametrize("place", [0, 30, 55])
def test_every_other_character_is_named(character: str, place: int) -> None:
    name = REAL[0][:place] + character + REAL[0][place + 1 :]

    assert complaint(name) is not None
    assert character == "." or "a character other than a-z and 2-7" in str(complaint(name))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("target.example", "does not end in .onion"),
        (REAL[0].removesuffix(".onion"), "does not end in .onion"),
        (V2, "of version 2, which Tor dropped"),
        (REAL[0][1:], "has 55 characters before .onion, not 56"),
        (".onion", "has 0 characters"),
        ("onion", "has 0 characters"),
        ("8" + REAL[0][1:], "a character other than a-z and 2-7"),
        ("é" + REAL[0][1:], "a character other than a-z and 2-7"),
        ("\u0663" + REAL[0][1:], "a character other than a-z and 2-7"),  # a digit, to Python
        ("\x1c" + REAL[0][1:], "a character other than a-z and 2-7"),  # white space
        (REAL[0][:55] + "e.onion", "is of version 4, not 3"),
        ("a" + REAL[0][1:], "the checksum of"),
    ],
)
def test_others_say_what_is_wrong(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        OnionAddress.parse(name)
    assert repr(name) in str(caught.value)


def test_a_key_has_32_bytes() -> None:
    with pytest.raises(ValueError, match="32 bytes, not 31"):
        OnionAddress(bytes(31))


@pytest.mark.parametrize(
    ("host", "onion"),
    [("x.onion", True), ("X.ONION.", True), ("onion", True), ("xonion", False), ("onion.example", False), ("", False)],
)
def test_the_top_level_domain_decides(host: str, onion: bool) -> None:
    assert is_onion(host) is onion
