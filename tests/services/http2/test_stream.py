"""A stream's state is the one of RFC 9113 5.1."""

from __future__ import annotations

import pytest

from tests.services.http2.peers import RESPONSE, RESPONSE_FIELDS, TRAILERS, Rig
from ziggurat.services.http2 import HeaderSection, Stream, StreamState
from ziggurat.services.http2.frames import rst_stream_frame


def test_a_stream_is_idle_until_it_is_opened_and_then_goes_through_both_halves() -> None:
    """RFC 9113 5.1, seen by a client."""
    assert Stream().state is StreamState.IDLE

    rig = Rig()
    stream = rig.open()
    assert stream.state is StreamState.OPEN

    rig.connection.send_data(stream, (), 0, end=True)
    assert stream.state is StreamState.HALF_CLOSED_LOCAL

    rig.feed(rig.headers(1, RESPONSE_FIELDS, end=True))
    assert stream.state is StreamState.CLOSED


def test_a_server_sees_the_other_half_closed_first() -> None:
    """RFC 9113 5.1."""
    rig = Rig(client=False)
    stream = rig.open(end=True)
    assert stream.state is StreamState.HALF_CLOSED_REMOTE

    rig.connection.send_headers(stream, RESPONSE)
    assert stream.state is StreamState.HALF_CLOSED_REMOTE

    rig.connection.send_headers(stream, TRAILERS, end=True)
    assert stream.state is StreamState.CLOSED


@pytest.mark.parametrize("end", [True, False])
def test_a_reset_from_either_side_closes_it_in_any_state(end: bool) -> None:
    """RFC 9113 5.1, 6.4."""
    rig = Rig()
    ours, theirs = rig.open(end=end), rig.open(end=end)

    rig.connection.reset(ours)
    rig.feed(rst_stream_frame(3, 8))

    assert ours.state is theirs.state is StreamState.CLOSED
    assert ours.events == []
    assert theirs.events == [("reset", 8)]


def test_the_base_takes_every_call_and_does_nothing() -> None:
    stream = Stream()

    stream.on_headers(HeaderSection(()), False)
    stream.on_data(b"x", 0, 1)
    stream.on_end()
    stream.on_reset(8)
    stream.on_fault("reason")
    stream.on_window()

    assert stream.state is StreamState.IDLE


def test_a_stream_takes_no_dictionary() -> None:
    """There may be thousands."""
    assert not hasattr(Stream(), "__dict__")
