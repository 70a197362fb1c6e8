"""pytest fixtures, for ``pytest_plugins`` in a ``conftest.py``. No other module of the kit imports pytest."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ziggurat.layers.testing.leak_guard import LeakGuard, no_leaks

__all__ = ["leak_guard"]


@pytest.fixture
def leak_guard() -> Iterator[LeakGuard]:
    """A `LeakGuard` around the test, which allows nothing until the test calls its ``allow``.

    A leak fails the test, even if the code under test catches the `LeakError`.
    """
    with no_leaks() as guard:
        yield guard
