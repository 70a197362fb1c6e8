"""Async tests run on asyncio and trio, both in virtual time: no test waits for a clock.

Marks: ``real_io`` runs an async test on real event loops (sockets on loopback); ``asyncio_only`` skips trio, for the
channel and the node, which depend on grpclib; ``slow`` is for tests that start programs or take seconds, which run with
``-m slow`` only.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import async_solipsism
import grpclib.metadata
import pytest
import structlog
from hypothesis import settings
from trio.testing import MockClock

# No test depends on the clock, not even hypothesis: the machine may be busy.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "real_io: real sockets, so real time")
    config.addinivalue_line("markers", "asyncio_only: depends on grpclib")
    config.addinivalue_line("markers", "slow: starts programs, or takes seconds; run by -m slow")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "anyio_backend" not in metafunc.fixturenames:
        return
    real = metafunc.definition.get_closest_marker("real_io") is not None
    names = ["asyncio"] if metafunc.definition.get_closest_marker("asyncio_only") else ["asyncio", "trio"]
    metafunc.parametrize("anyio_backend", [f"{name}-real" if real else name for name in names], indirect=True)


@pytest.fixture
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    backends: dict[str, tuple[str, dict[str, Any]]] = {
        "asyncio": ("asyncio", {"loop_factory": async_solipsism.EventLoop}),
        "trio": ("trio", {"clock": MockClock(autojump_threshold=0)}),
        "asyncio-real": ("asyncio", {"debug": True}),
        "trio-real": ("trio", {}),
    }
    return backends[request.param]


@pytest.fixture(autouse=True)
def _unconfigured_structlog() -> Iterator[None]:
    """Reset structlog's configuration before and after each test."""
    structlog.reset_defaults()
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    yield
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def _virtual_deadlines(monkeypatch: pytest.MonkeyPatch) -> None:
    """In virtual time, grpclib's deadlines follow the loop's clock: on a busy machine, real time passes beside it."""
    monkeypatch.setattr(grpclib.metadata, "time", SimpleNamespace(monotonic=_monotonic))


def _monotonic() -> float:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return time.monotonic()
    return loop.time() if isinstance(loop, async_solipsism.EventLoop) else time.monotonic()
