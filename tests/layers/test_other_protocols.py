"""What a server speaks is told by its first bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.layers.other_protocols import other_protocol


@pytest.mark.parametrize(
    ("first", "spoken"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "HTTP"),
        (b"<html>", "HTTP"),
        (b"\x00\x00\x12\x04\x00\x00\x00\x00\x00", "HTTP/2"),  # SETTINGS
        (b"\x00\x5b\x00\x00", "SOCKS4"),
        (b"\x04\x5a", "SOCKS4"),
        (b"\x05\xff", "SOCKS5"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "TLS"),
        (b"\x16\x03\x03", "TLS"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "SSH"),
        (b"220 mail.example ESMTP\r\n", "FTP or SMTP"),
    ],
)
def test_what_a_server_speaks_is_told_by_its_first_two_bytes(first: bytes, spoken: str) -> None:
    assert other_protocol(first[:2]) == f"it speaks {spoken}"


def test_one_zero_may_be_http2_or_socks4() -> None:
    assert other_protocol(b"\x00") is None


def test_unknown_bytes_are_shown_in_hex() -> None:
    assert other_protocol(b"\x07\xff") == "its reply begins with 07 ff"
    assert other_protocol(b"\x00\x07") == "its reply begins with 00 07"


@given(st.binary(min_size=2, max_size=2))
def test_two_bytes_are_always_enough(first: bytes) -> None:
    text = other_protocol(first)

    assert text is not None
    assert text.isprintable()
