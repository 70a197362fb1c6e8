"""SETTINGS: what we announce, and what a peer may say (RFC 9113 6.5)."""

from __future__ import annotations

from struct import pack

import pytest

from ziggurat.services.http2 import ErrorCode, LocalSettings, RemoteProtocolError
from ziggurat.services.http2.settings import (
    ENABLE_PUSH,
    HEADER_TABLE_SIZE,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME_SIZE,
    MAX_HEADER_LIST_SIZE,
    parse_settings,
)


def payload(*settings: tuple[int, int]) -> bytes:
    return b"".join(pack(">HL", *setting) for setting in settings)


def test_the_numbers_are_those_of_rfc_9113_6_5_2() -> None:
    numbers = (HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE)

    assert (*numbers, MAX_HEADER_LIST_SIZE) == (1, 2, 3, 4, 5, 6)


def test_a_client_switches_push_off_and_a_server_says_nothing_of_it() -> None:
    """RFC 9113 6.5.2."""
    assert (ENABLE_PUSH, 0) in LocalSettings().announced(client=True)
    assert ENABLE_PUSH not in dict(LocalSettings(max_concurrent_streams=100).announced(client=False))


def test_what_we_announce_is_what_was_set() -> None:
    local = LocalSettings(
        stream_window=70_000, max_frame_size=20_000, max_header_list_size=9_000, max_concurrent_streams=3
    )

    assert dict(local.announced(client=False)) == {
        INITIAL_WINDOW_SIZE: 70_000,
        MAX_FRAME_SIZE: 20_000,
        MAX_HEADER_LIST_SIZE: 9_000,
        MAX_CONCURRENT_STREAMS: 3,
    }


def test_settings_are_read_in_their_order_and_unknown_ones_are_kept() -> None:
    """RFC 9113 6.5.3 and 6.5.2: the order matters, and who reads ignores the unknown ones."""
    settings = [(INITIAL_WINDOW_SIZE, 1), (0xFFFF, 7), (INITIAL_WINDOW_SIZE, 2)]

    assert parse_settings(payload(*settings), from_server=True) == settings


@pytest.mark.parametrize(
    ("setting", "code"),
    [
        ((ENABLE_PUSH, 2), ErrorCode.PROTOCOL_ERROR),
        ((INITIAL_WINDOW_SIZE, 2**31), ErrorCode.FLOW_CONTROL_ERROR),
        ((MAX_FRAME_SIZE, 16_383), ErrorCode.PROTOCOL_ERROR),
        ((MAX_FRAME_SIZE, 2**24), ErrorCode.PROTOCOL_ERROR),
    ],
)
@pytest.mark.parametrize("from_server", [True, False])
def test_a_value_out_of_its_range_ends_the_connection(
    setting: tuple[int, int], code: ErrorCode, from_server: bool
) -> None:
    """RFC 9113 6.5.2."""
    with pytest.raises(RemoteProtocolError) as caught:
        parse_settings(payload(setting), from_server=from_server)

    assert caught.value.code is code


@pytest.mark.parametrize(
    "setting",
    [
        (INITIAL_WINDOW_SIZE, 2**31 - 1),
        (INITIAL_WINDOW_SIZE, 0),
        (MAX_FRAME_SIZE, 16_384),
        (MAX_FRAME_SIZE, 2**24 - 1),
        (ENABLE_PUSH, 0),
        (MAX_CONCURRENT_STREAMS, 0),
        (HEADER_TABLE_SIZE, 2**32 - 1),
    ],
)
def test_the_ends_of_each_range_are_taken(setting: tuple[int, int]) -> None:
    """RFC 9113 6.5.2."""
    assert parse_settings(payload(setting), from_server=True) == [setting]


def test_only_a_client_may_switch_push_on() -> None:
    """RFC 9113 6.5.2: from a server, 1 is an error."""
    assert parse_settings(payload((ENABLE_PUSH, 1)), from_server=False) == [(ENABLE_PUSH, 1)]

    with pytest.raises(RemoteProtocolError, match="SETTINGS_ENABLE_PUSH is 1"):
        parse_settings(payload((ENABLE_PUSH, 1)), from_server=True)
