from __future__ import annotations

import pytest

from ziggurat.node.inbound.limits import ConnectionCounter, InboundLimits
from ziggurat.node.peer.info import PROXIED

pytestmark = pytest.mark.asyncio_only

HOST = "10.0.0.1"


def admission(full: bool = False, **limits: int | None) -> ConnectionCounter:
    return ConnectionCounter(InboundLimits(**limits), lambda: full)  # type: ignore[arg-type]


def test_kaspads_own_numbers() -> None:
    limits = InboundLimits()
    assert (limits.peers, limits.pending, limits.pending_per_address) == (128, 32, 2)


def test_connections_are_bounded_in_all() -> None:
    one = admission(peers=3, pending=2, per_address=None)
    assert [one.enter(HOST) for _ in range(6)] == [None] * 5 + ["too many inbound connections"]
    one.leave(HOST)
    assert one.enter(HOST) is None
    assert one.open == 5


def test_a_node_that_is_full_takes_nobody() -> None:
    assert admission(full=True).enter(HOST) == "the limit of inbound peers is reached"
    assert admission().enter(HOST) is None


def test_connections_are_bounded_for_each_address_but_not_where_many_share_one() -> None:
    one = admission(per_address=2)
    assert [one.enter(HOST) for _ in range(3)] == [None, None, "too many connections from one address"]
    assert one.enter("10.0.0.2") is None
    for shared in ("127.0.0.1", "::1", PROXIED):
        assert [one.enter(shared) for _ in range(3)] == [None] * 3


def test_handshakes_are_bounded_for_each_address_and_in_all() -> None:
    one = admission(pending=5, pending_per_address=2)
    assert [one.begin(HOST) for _ in range(3)] == [True, True, False]
    assert [one.begin(PROXIED) for _ in range(4)] == [True, True, True, False]
    assert one.pending == 5
    assert not one.begin("10.0.0.2")
    one.end(PROXIED)
    assert one.begin("10.0.0.2")


@pytest.mark.parametrize("name", ["peers", "pending", "pending_per_address", "per_address"])
def test_a_limit_is_positive(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a whole number"):
        InboundLimits(**{name: 0})
