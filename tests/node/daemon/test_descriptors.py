"""A node raises its limit of file descriptors, or accepts as many peers as fit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.node.address import parse_peer_address
from ziggurat.node.config import Settings
from ziggurat.node.daemon.descriptors import RESERVE, descriptors_needed, fit_descriptors, fitting

resource = pytest.importorskip("resource")

NOWHERE = Path("/nowhere")


@pytest.fixture
def soft_limit() -> Iterator[int]:
    """A soft limit that the default settings do not fit into."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, before[1]))
    yield 200
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_soft_limit_is_raised_to_what_the_settings_need(soft_limit: int) -> None:
    settings = Settings(appdir=NOWHERE)
    assert fit_descriptors(settings) == (settings, None)

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft == descriptors_needed(settings) > soft_limit


def test_a_limit_that_suffices_is_not_changed(soft_limit: int) -> None:
    settings = Settings(appdir=NOWHERE, maxinpeers=0, outpeers=8)
    assert fit_descriptors(settings) == (settings, None)

    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == soft_limit


def test_more_inbound_peers_than_the_hard_limit_allows_are_lowered_with_a_reason() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard == resource.RLIM_INFINITY or hard > 999_999_000:
        pytest.skip("no hard limit here")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        settings, reason = fit_descriptors(Settings(appdir=NOWHERE, maxinpeers=999_999_999))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)

    assert 0 < settings.maxinpeers < hard
    assert reason is not None
    assert reason.startswith("maxinpeers 999999999 needs 1000000167 file descriptors, and the process may have")
    assert reason.endswith(f"the node accepts {settings.maxinpeers} inbound peers")


@given(st.integers(0, 3000), st.integers(0, 100), st.integers(0, 5000), st.booleans())
def test_what_is_returned_fits_unless_it_does_without_inbound_peers(
    inbound: int, outbound: int, limit: int, only_dials: bool
) -> None:
    peers = (parse_peer_address("192.0.2.1", 1),) if only_dials else ()
    settings = Settings(appdir=NOWHERE, maxinpeers=inbound, outpeers=outbound, connect=peers)
    fitted = fitting(settings, limit)

    assert fitted.inbound_limit <= settings.inbound_limit
    assert descriptors_needed(fitted) <= limit or not fitted.inbound_limit
    if descriptors_needed(settings) <= limit:
        assert fitted == settings


def test_a_node_that_only_dials_needs_few() -> None:
    assert descriptors_needed(Settings(appdir=NOWHERE, maxinpeers=0, outpeers=8)) == RESERVE + 8
