from __future__ import annotations

import os

import pytest

from ziggurat.node.tor.fields import parse_fields, quoted_strings, unescape


@pytest.mark.parametrize(
    ("escaped", "text"),
    [
        ("/run/tor/cookie", "/run/tor/cookie"),
        (r"\"Tor\" \\ x", '"Tor" \\ x'),
        (r"a\nb\rc\td\ze", "a\nb\rc\tdze"),
        (r"/home/\303\251t\303\251", "/home/été"),
        (r"\1a\11\17\18\377", "\x01a\t\x0f\x018\udcff"),
        (r"\81\40\0", "81 \0"),
    ],
)
def test_the_escapes_of_c(escaped: str, text: str) -> None:
    """zcash/zcash#2210, lightningnetwork/lnd#6829, torproject/stem#57: a cookie's path with spaces or accents."""
    assert unescape(escaped) == text


def test_bytes_that_are_no_text_still_name_the_file() -> None:
    assert os.fsencode(unescape(r"\377\303")) == b"\xff\xc3"


def test_quoted_strings() -> None:
    assert quoted_strings(r'"127.0.0.1:9050" "unix:/run/a \"b\" \\c" x') == ["127.0.0.1:9050", 'unix:/run/a "b" \\c']
    assert quoted_strings('no "end') == []


def test_fields() -> None:
    assert parse_fields(r'WARN A=1 B="x \"y\" =z" C= D="" A=2') == {"A": "2", "B": 'x "y" =z', "C": "", "D": ""}
