"""The node's tests run under the leak guard: whatever they do stays on this machine, and a real look-up raises."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ziggurat.layers.testing import LeakGuard, no_leaks


@pytest.fixture(autouse=True)
def leak_guard() -> Iterator[LeakGuard]:
    with no_leaks(["127.0.0.0/8", "::1", "unix:*"], subprocess=True) as guard:
        yield guard
