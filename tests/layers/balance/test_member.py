from __future__ import annotations

import pytest

from ziggurat.layers.balance.load import PeakEwma
from ziggurat.layers.balance.member import WARM, Member
from ziggurat.services.backoff import Backoff
from ziggurat.services.errors import ConnectError
from ziggurat.services.tcp import TcpConnector

BACKOFF = Backoff(1.0, factor=2.0, jitter=0.0)


def member() -> Member:
    return Member("a", TcpConnector(), PeakEwma().meter())


def fail(endpoint: Member, start: float, end: float) -> None:
    endpoint.failed(endpoint.ended(endpoint.began(start)), end, ConnectError("no"), BACKOFF)


def test_each_failure_in_a_row_doubles_the_time_it_is_left_alone() -> None:
    endpoint = member()
    fail(endpoint, 0.0, 1.0)
    assert not endpoint.usable(1.9)
    assert endpoint.usable(2.0)
    fail(endpoint, 2.0, 3.0)
    assert not endpoint.usable(4.9)
    assert endpoint.usable(5.0)
    assert endpoint.state(3.0).retry_in == 2.0
    assert endpoint.state(3.0).failures == 2


def test_a_burst_of_failures_is_one_failure() -> None:
    """Fifty dials to a server that goes down would otherwise ban it for minutes."""
    endpoint = member()
    tokens = [endpoint.began(float(start)) for start in range(50)]
    for token in tokens:
        endpoint.failed(endpoint.ended(token), 50.0, ConnectError("no"), BACKOFF)
    assert endpoint.failures == 1
    assert endpoint.until == 51.0


def test_after_a_failure_one_dial_probes_it() -> None:
    endpoint = member()
    fail(endpoint, 0.0, 0.0)
    probe = endpoint.began(1.0)
    assert not endpoint.usable(1.0)
    endpoint.cancelled(probe, 1.5)
    assert endpoint.usable(1.5)
    assert endpoint.failures == 1


def test_an_endpoint_that_is_back_warms_up() -> None:
    """Each round of successes doubles the dials at once."""
    endpoint = member()
    assert endpoint.roomy
    fail(endpoint, 0.0, 0.0)
    rooms, tokens = list[int](), [endpoint.began(1.0)]
    while len(tokens) <= WARM:
        rooms.append(len(tokens))
        for token in tokens:
            endpoint.succeeded(token, 1.0)
        tokens.clear()
        while endpoint.roomy and len(tokens) <= WARM:
            tokens.append(endpoint.began(1.0))
    assert rooms == [1, 2, 4, 8, 16, 32]


def test_a_success_that_comes_to_nothing_later_does_not_end_the_row_of_failures() -> None:
    """A proxy that accepts everything, before a server that is gone: each dial succeeds, and HTTP/2 never comes."""
    endpoint = member()
    fail(endpoint, 0.0, 0.0)
    for failures in (2, 3, 4):
        now = endpoint.until
        ended = endpoint.succeeded(endpoint.began(now), now)
        endpoint.failed_later(now, ended, ConnectError("no SETTINGS"), BACKOFF)
        assert endpoint.failures == failures
        assert endpoint.until == now + 2.0 ** (failures - 1)


def test_a_success_forgets_the_failures() -> None:
    endpoint = member()
    running = endpoint.began(0.0)
    fail(endpoint, 0.0, 1.0)
    endpoint.succeeded(running, 1.5)
    assert endpoint.usable(1.5)
    assert endpoint.state(1.5).error is None
    assert endpoint.failures == 0


def test_a_fast_failure_is_no_fast_answer() -> None:
    """ingress-nginx#5540: a backend that refuses at once had the best score, and got all of the traffic."""
    endpoint = member()
    endpoint.succeeded(endpoint.began(0.0), 2.0)
    before = endpoint.cost(2.0)
    fail(endpoint, 2.0, 2.0)
    assert endpoint.cost(2.0) == before


def test_the_kept_error_keeps_no_frames() -> None:
    endpoint = member()
    try:
        try:
            raise OSError("below")
        except OSError as below:
            raise ConnectError("no") from below
    except ConnectError as error:
        endpoint.failed(endpoint.ended(endpoint.began(0.0)), 0.0, error, BACKOFF)
    kept = endpoint.state(0.0).error
    assert isinstance(kept, ConnectError)
    assert (kept.__traceback__, kept.__cause__) == (None, None)


def test_streams_and_dials_are_counted() -> None:
    endpoint = member()
    token = endpoint.began(0.0)
    endpoint.opened()
    state = endpoint.state(0.0)
    assert (state.dialling, state.streams, state.retry_in) == (1, 1, 0.0)
    endpoint.succeeded(token, 1.0)
    assert endpoint.cost(1.0) == pytest.approx(2.0)
    endpoint.closed()
    assert endpoint.cost(1.0) == pytest.approx(1.0)
