"""The connection's receiving window: nothing is lost, and nobody waits for a slow reader (RFC 9113 5.2, 6.9)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.services.http2 import ErrorCode, RemoteProtocolError
from ziggurat.services.http2.flow_control import ReceiveWindow

SIZE, MAX_UNREAD = 100, 400


def test_what_arrives_is_given_back_although_nobody_reads() -> None:
    window = ReceiveWindow(SIZE, MAX_UNREAD)

    assert [window.arrived(25) for _ in range(4)] == [0, 50, 0, 50]
    assert window.left == SIZE
    assert window.unread == 100


def test_beyond_the_bound_it_is_given_back_on_reading_only() -> None:
    window = ReceiveWindow(SIZE, MAX_UNREAD)
    while window.left:
        window.arrived(min(50, window.left))

    assert window.unread == MAX_UNREAD
    assert window.read(10) == 10
    assert window.left == 10


def test_more_than_the_window_is_a_flow_control_error() -> None:
    """RFC 9113 6.9.1."""
    window = ReceiveWindow(SIZE, MAX_UNREAD)

    with pytest.raises(RemoteProtocolError) as caught:
        window.arrived(SIZE + 1)

    assert caught.value.code is ErrorCode.FLOW_CONTROL_ERROR


def test_a_wider_window_lets_no_more_lie_unread() -> None:
    window = ReceiveWindow(SIZE, MAX_UNREAD)
    window.widen(200)
    while window.left:
        window.arrived(min(50, window.left))

    assert window.unread == MAX_UNREAD


def test_a_window_that_is_widened_while_much_lies_unread_gives_nothing_back_twice() -> None:
    window = ReceiveWindow(SIZE, MAX_UNREAD)
    for _ in range(6):
        window.arrived(50)  # 300 unread, and all of it given back
    window.widen(200)

    assert [window.read(100) for _ in range(3)] == [0, 0, 0]
    assert window.left == SIZE + 200


def test_a_window_that_is_larger_than_the_bound_is_given_back_on_reading_only() -> None:
    window = ReceiveWindow(SIZE, 10)

    assert window.arrived(SIZE) == 0
    assert window.read(60) == 60


STEPS = st.lists(st.tuples(st.sampled_from(["arrive", "read", "widen"]), st.integers(1, 120)), max_size=200)


@given(STEPS, st.integers(0, 500))
def test_windows_announced_left_and_held_always_add_up(steps: list[tuple[str, int]], max_unread: int) -> None:
    """A byte that is lost here is missing for the rest of the connection's life."""
    window = ReceiveWindow(SIZE, max_unread)
    announced, arrived, total = SIZE, 0, SIZE
    for step, size in steps:
        if step == "arrive" and (size := min(size, window.left)):
            announced += window.arrived(size)
            arrived += size
        elif step == "read" and (size := min(size, window.unread)):
            announced += window.read(size)
        elif step == "widen":
            window.widen(size)
            announced += size
            total += size
        assert window.left == announced - arrived
        # What was given back before the window was widened is on its way already.
        assert window.unread <= max(max_unread, total) + total - SIZE
    while window.unread:
        announced += window.read(min(7, window.unread))

    assert window.left > total // 2 - 1, "with nothing unread at least half of the window is open"
    assert window.left <= total
