"""A link to a scripted control port, and what it logs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import anyio
from structlog.testing import capture_logs
from structlog.typing import EventDict

from tests.node.tor.control_port import ControlPort
from ziggurat.node.tor import OnionService, TorLink
from ziggurat.services import Backoff, Uri

CONTROL = Uri("tcp", "127.0.0.1", 9051)
STEADY = Backoff(1.0, factor=1.5, jitter=0.0, maximum=60.0)
"""Without jitter, as the virtual clock cannot end every limit that begins at an odd time."""

ONION = OnionService("ED25519-V3:key", 16111, "127.0.0.1:16112")


@asynccontextmanager
async def running(
    port: ControlPort, *, take_socks: Callable[[Uri], object] | None = None
) -> AsyncGenerator[tuple[TorLink, list[EventDict]], None]:
    """Run a link until the end of the block, and yield what it logs."""
    with capture_logs() as logs:
        link = TorLink(CONTROL, port.open, take_socks=take_socks, backoff=STEADY)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(link.run)
            await anyio.wait_all_tasks_blocked()
            yield link, logs
            tasks.cancel_scope.cancel()


def shown(logs: list[EventDict]) -> list[str]:
    """Return the names of the events but those of level debug."""
    return [str(each["event"]) for each in logs if each["log_level"] != "debug"]
