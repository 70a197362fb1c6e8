from __future__ import annotations

from ziggurat.node.address import parse_peer_address
from ziggurat.node.outbound.peer_request import PeerRequest

ADDRESS = parse_peer_address("192.0.2.1:16111")


def test_the_wait_doubles_four_times() -> None:
    request = PeerRequest(ADDRESS, permanent=True)
    waits = []
    for _ in range(7):
        request.failed(1000.0)
        waits.append(request.due - 1000.0)

    assert waits == [30, 60, 120, 240, 480, 480, 480]


def test_a_success_resets_the_backoff() -> None:
    request = PeerRequest(ADDRESS, permanent=True)
    request.failed(0.0)
    request.failed(0.0)
    request.succeeded()

    assert (request.failures, request.due) == (0, 0.0)
