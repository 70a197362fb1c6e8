from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.node.tor.control_port import SERVICE
from ziggurat.node.tor import Bootstrap, Circuits, DescriptorUpload, StreamChange, TorEvent
from ziggurat.node.tor.events import MAX_LINE, EventLines, parse_event

SECRETS = 'SOCKS_USERNAME="user SOURCE_ADDR=127.0.0.1:1" SOCKS_PASSWORD="\\"pass" CLIENT_PROTOCOL=SOCKS5 NYM_EPOCH=0'
DIRECTORY = f"${1:040X}~relay1"


@pytest.mark.parametrize(
    ("text", "event"),
    [
        (
            'STATUS_CLIENT NOTICE BOOTSTRAP PROGRESS=50 TAG=conn SUMMARY="Connecting to a relay" NEW_FIELD="x y"',
            Bootstrap(50, "conn", "Connecting to a relay"),
        ),
        (
            'STATUS_CLIENT WARN BOOTSTRAP PROGRESS=50 TAG=conn SUMMARY="C" WARNING="No route to host" COUNT=5',
            Bootstrap(50, "conn", "C", "No route to host"),
        ),
        ("STATUS_CLIENT NOTICE CIRCUIT_NOT_ESTABLISHED REASON=CLOCK_JUMPED", Circuits("CLOCK_JUMPED")),
        ("STATUS_CLIENT NOTICE CIRCUIT_NOT_ESTABLISHED", Circuits("no reason given")),
        ("STATUS_CLIENT A_NEW_LEVEL CIRCUIT_ESTABLISHED WITH=MORE", Circuits(None)),
        ("STATUS_CLIENT NOTICE ENOUGH_DIR_INFO", None),
        ("STATUS_CLIENT NOTICE BOOTSTRAP TAG=conn", None),
        ("STATUS_CLIENT", None),
        (
            f"HS_DESC UPLOAD {SERVICE} UNKNOWN {DIRECTORY} {'A' * 43} HSDIR_INDEX=0A",
            DescriptorUpload("UPLOAD", SERVICE, DIRECTORY, "A" * 43),
        ),
        (
            f"HS_DESC FAILED {SERVICE} A_NEW_AUTH {DIRECTORY} REASON=UPLOAD_REJECTED",
            DescriptorUpload("FAILED", SERVICE, DIRECTORY, None, "UPLOAD_REJECTED"),
        ),
        ("HS_DESC UPLOADED", None),
        (
            f"STREAM 17 NEW 0 Localhost:80 SOURCE_ADDR=127.0.0.1:44308 PURPOSE=USER {SECRETS}",
            StreamChange("17", "NEW", None, "localhost:80", 44308),
        ),
        (f"STREAM 17 SENTCONNECT 3 ::1:80 {SECRETS}", StreamChange("17", "SENTCONNECT", "3", "::1:80")),
        ("STREAM 17 A_NEW_STATUS 3 h:80 PURPOSE=NEW", StreamChange("17", "A_NEW_STATUS", "3", "h:80")),
        (
            "STREAM 17 NEW 0 h:80 SOURCE_ADDR=[::1]:443 PURPOSE=USER",
            StreamChange("17", "NEW", None, "h:80", 443),
        ),
        # A program on a unix socket, and Tor itself.
        ("STREAM 24 NEW 0 h:80 SOURCE_ADDR=/run/tor/socks:0 PURPOSE=USER", StreamChange("24", "NEW", None, "h:80")),
        ("STREAM 22 NEW 0 h:80 PURPOSE=DIR_FETCH", StreamChange("22", "NEW", None, "h:80")),
        ("STREAM 17 NEW", None),
        ("STREAM", None),
        ("CIRC 7 BUILT", None),
        ("", None),
    ],
)
def test_an_event_is_read(text: str, event: TorEvent | None) -> None:
    assert parse_event(text) == event


@given(st.text())
def test_no_event_is_an_error(text: str) -> None:
    words = {"STREAM": StreamChange, "HS_DESC": DescriptorUpload, "STATUS_CLIENT NOTICE BOOTSTRAP": Bootstrap}
    for word, kind in words.items():
        assert isinstance(parse_event(f"{word} {text}"), kind | None)
    assert parse_event(f"CIRC {text}") is None


def test_credentials_are_not_kept() -> None:
    assert "user" not in repr(parse_event(f"STREAM 17 NEW 0 h:80 SOURCE_ADDR=127.0.0.1:44308 {SECRETS}"))


SENT = (
    b"250-version=0.4.9.11\r\n650 STREAM 1 NEW 0 h:1\r\n250 OK\r\n"
    b"250+circuit-status=\r\n650 STREAM 2 NEW 0 h:2\r\n..\r\n.\r\n250 OK\r\n"
    b"650-CONF_CHANGED\r\n650-A=1\r\n650 OK\r\n650+NS\r\n650 STREAM\r\n.\r\n650 OK\r\n"
    b"650 STREAM 3 \xff\r\n250 OK\r\n"
)
LEFT = SENT.replace(b"650 STREAM 1 NEW 0 h:1\r\n", b"").replace(b"650 STREAM 3 \xff\r\n", b"")


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_events_are_taken_out_of_the_replies_however_they_arrive(size: int) -> None:
    """What looks like an event within a reply's data is none, and one of several lines is left to the library."""
    taken = list[str]()
    lines = EventLines(taken.append)

    assert b"".join(lines.receive(SENT[at : at + size]) for at in range(0, len(SENT), size)) == LEFT
    assert taken == ["STREAM 1 NEW 0 h:1", "STREAM 3 �"]


@pytest.mark.parametrize("size", [1000, 4 * MAX_LINE])
def test_an_event_that_is_too_long_costs_itself_only(size: int) -> None:
    sent = b"650 STREAM " + b"x" * 2 * MAX_LINE + b"\r\n250 OK\r\n650 STREAM 2\r\n"
    taken = list[str]()
    lines = EventLines(taken.append)

    assert b"".join(lines.receive(sent[at : at + size]) for at in range(0, len(sent), size)) == b"250 OK\r\n"
    assert taken[-1] == "STREAM 2"


def test_a_reply_that_is_too_long_is_left_to_the_library_which_gives_up() -> None:
    lines = EventLines(lambda text: None)

    assert lines.receive(b"250 " + b"x" * MAX_LINE) == b"250 " + b"x" * MAX_LINE
