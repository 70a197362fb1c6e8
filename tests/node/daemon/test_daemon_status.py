"""``node.status`` once a minute, in virtual time."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
import structlog

from ziggurat.node.address import NetAddress
from ziggurat.node.address_manager import AddressManager
from ziggurat.node.config.networks import DEVNET
from ziggurat.node.config.settings import Settings
from ziggurat.node.daemon.daemon import report_status
from ziggurat.node.p2p_service import P2pService

pytestmark = pytest.mark.asyncio_only

DIRECT = {"way": "direct", "via": None, "randomized": False, "outbound": 0, "inbound": 0}


async def test_the_status_is_written_each_minute() -> None:
    book = AddressManager()
    book.add([NetAddress.parse("192.0.2.1:16611")])
    service = P2pService(Settings(appdir=Path("/unused"), network=DEVNET, maxinpeers=0), book)
    structlog.configure()
    with structlog.testing.capture_logs() as events:
        with anyio.move_on_after(185):
            await report_status(service, book)

    assert [event["event"] for event in events] == ["node.status"] * 3
    assert events[0] == {
        "event": "node.status",
        "log_level": "info",
        "outbound": 0,
        "outbound_target": 8,
        "inbound": 0,
        "inbound_limit": 0,
        "requests": 0,
        "addresses": 1,
        "networks": dict.fromkeys(("ipv4", "ipv6"), DIRECT) | {"onion": {**DIRECT, "way": "refuse"}},
        "tunnels": [],
    }
