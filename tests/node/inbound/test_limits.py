from __future__ import annotations

import pytest

from ziggurat.node.inbound.limits import TOO_MANY_FROM_ONE_ADDRESS, ConnectionCounter, InboundLimits
from ziggurat.node.peer.info import PROXIED

pytestmark = pytest.mark.asyncio_only

HOST = "10.0.0.1"


def counter(full: bool = False, **limits: int | None) -> ConnectionCounter:
    return ConnectionCounter(InboundLimits(**limits), lambda: full)  # type: ignore[arg-type]


def test_the_defaults_are_kaspads() -> None:
    limits = InboundLimits()
    assert (limits.peers, limits.pending, limits.pending_per_address) == (128, 32, 2)


def test_connections_are_limited_in_total() -> None:
    one = counter(peers=3, pending=2, per_address=None)
    assert [one.add_connection(HOST) for _ in range(6)] == [None] * 5 + ["too many inbound connections"]
    one.remove_connection(HOST)
    assert one.add_connection(HOST) is None
    assert one.open == 5


def test_a_full_node_refuses_connections() -> None:
    assert counter(full=True).add_connection(HOST) == "the limit of inbound peers is reached"
    assert counter().add_connection(HOST) is None


def test_connections_are_limited_per_address_unless_peers_share_it() -> None:
    one = counter(per_address=2)
    assert [one.add_connection(HOST) for _ in range(3)] == [None, None, TOO_MANY_FROM_ONE_ADDRESS]
    assert one.add_connection("10.0.0.2") is None
    for shared in ("127.0.0.1", "::1", PROXIED):
        assert [one.add_connection(shared) for _ in range(3)] == [None] * 3


def test_handshakes_are_limited_per_address_and_in_total() -> None:
    one = counter(pending=5, pending_per_address=2)
    assert [one.add_handshake(HOST) for _ in range(3)] == [True, True, False]
    assert [one.add_handshake(PROXIED) for _ in range(4)] == [True, True, True, False]
    assert one.pending == 5
    assert not one.add_handshake("10.0.0.2")
    one.remove_handshake(PROXIED)
    assert one.add_handshake("10.0.0.2")


@pytest.mark.parametrize("name", ["peers", "pending", "pending_per_address", "per_address"])
def test_a_limit_must_be_positive(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a whole number"):
        InboundLimits(**{name: 0})
