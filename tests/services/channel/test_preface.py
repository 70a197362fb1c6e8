from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.services.channel.preface import Preface

SETTINGS = b"\0\0\6\4\0\0\0\0\0\0\3\0\0\0\x64"


def verdict(*pieces: bytes) -> str | None:
    preface = Preface()
    for piece in pieces:
        if preface.verdict is None and not preface.done:
            preface.feed(piece)
    return preface.verdict


@pytest.mark.parametrize("split", range(len(SETTINGS) + 1))
def test_settings_pass_wherever_they_are_split(split: int) -> None:
    preface = Preface()
    passed = preface.feed(SETTINGS[:split])
    passed += preface.feed(SETTINGS[split:]) if not preface.done else SETTINGS[split:]
    assert preface.done
    assert preface.verdict is None
    assert passed == SETTINGS


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "the peer speaks HTTP/1.1 (it answered 'HTTP/1.1 400 Bad Request')"),
        (
            b"\x15\x03\x01\x00\x02\x02\x46",
            "not HTTP/2: the peer speaks TLS (first bytes '\\x15\\x03\\x01\\x00\\x02\\x02F')",
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "not HTTP/2: the peer speaks SSH (first bytes 'SSH-2.0-OpenSSH_9.2\\r\\n')"),
        (b"\0\0\6\6\0\0\0\0\0", "not HTTP/2 (first bytes '\\x00\\x00\\x06\\x06\\x00\\x00\\x00\\x00\\x00')"),
        (b"\0\0\0\4\1\0\0\0\0", "not HTTP/2 (first bytes '\\x00\\x00\\x00\\x04\\x01\\x00\\x00\\x00\\x00')"),
    ],
)
def test_another_protocol_is_named(data: bytes, text: str) -> None:
    assert verdict(data) == text


def test_an_impossible_length_of_a_settings_frame_is_refused() -> None:
    assert verdict(b"\0\0\7") is not None


def test_the_verdict_waits_for_the_whole_status_line() -> None:
    assert verdict(b"HTTP/1.1 4") is None
    assert (
        verdict(b"H", b"TTP/1.1 404 No", b"t Found\n")
        == "the peer speaks HTTP/1.1 (it answered 'HTTP/1.1 404 Not Found')"
    )


def test_an_endless_status_line_gets_a_verdict_too() -> None:
    assert "HTTP/1.1" in (verdict(b"HTTP/1.1 " + b"x" * 600) or "")


@given(st.binary(min_size=9), st.integers(0, 9))
def test_any_start_is_settings_or_gets_a_verdict(data: bytes, split: int) -> None:
    said = verdict(data[:split], data[split:])
    preface = Preface()
    preface.feed(data)
    assert (said is None) == (preface.verdict is None)  # in pieces, fewer bytes are quoted
    assert preface.done or preface.verdict is not None or data.startswith(b"HTTP/1")
    assert "\n" not in (said or "")


@pytest.mark.parametrize("cut", [3, 4, 9, 17, 30])
def test_a_goaway_before_settings_says_what_it_says_and_may_pass(cut: int) -> None:
    frame = b"\0\0\x10\7\0\0\0\0\0" + bytes(4) + b"\0\0\0\x0b" + b"too busy"
    preface = Preface()
    assert preface.feed(frame[:cut]) == b""
    assert preface.feed(frame[cut:]) == b""
    assert preface.verdict == "GOAWAY ENHANCE_YOUR_CALM (too busy) before its SETTINGS"
    assert preface.transient


@pytest.mark.parametrize(("status", "transient"), [("503", True), ("429", True), ("400", False), ("", False)])
def test_an_http1_server_that_is_away_may_be_back(status: str, transient: bool) -> None:
    preface = Preface()
    preface.feed(f"HTTP/1.1 {status}\r\n\r\n".encode())
    assert "HTTP/1.1" in str(preface.verdict)
    assert preface.transient is transient
