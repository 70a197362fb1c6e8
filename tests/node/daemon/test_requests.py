"""A node's answers, on the in-memory network."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs

from tests.node.nodes import at
from ziggurat.node.address_manager import AddressManager
from ziggurat.node.config.networks import DEVNET
from ziggurat.node.config.settings import Settings
from ziggurat.node.connection_handler import ConnectionHandler
from ziggurat.node.daemon.requests import NodeRequests
from ziggurat.node.ip_network import parse_network
from ziggurat.node.p2p_service import P2pService, ban_list
from ziggurat.node.testing import KaspaPeer, MemoryNetwork

pytestmark = pytest.mark.asyncio_only

SETTINGS = Settings(appdir=Path("/unused"), network=DEVNET, outpeers=0)


@asynccontextmanager
async def node(
    settings: Settings = SETTINGS, path: Path | None = None
) -> AsyncIterator[tuple[NodeRequests, KaspaPeer]]:
    """A node and an inbound peer from 10.0.0.2."""
    network, kaspad = MemoryNetwork(), KaspaPeer()
    host = network.host("10.0.0.1")
    service = P2pService(
        settings,
        AddressManager(),
        handler=ConnectionHandler(leaf=host),
        listener=host.listener(16611),
        bans=ban_list(settings, path),
    )
    async with kaspad.run(), service:
        with service.adaptor.subscribe_events() as events:
            await kaspad.dial(at("10.0.0.1"), network.host("10.0.0.2"))
            await anext(events)
        yield NodeRequests(service), kaspad


async def test_peers_are_told_with_their_age_and_direction() -> None:
    async with node() as (requests, kaspad):
        await anyio.sleep(130)
        [peer] = await requests.questions["peers"]()
        assert (peer["direction"], peer["via"], peer["user_agent"]) == ("inbound", None, kaspad.user_agent)
        assert str(peer["address"]).startswith("10.0.0.2:")
        assert float(str(peer["age"])) >= 130
        assert peer["ping"] is not None


async def test_a_ban_says_until_when_and_how_many_peers_were_dropped() -> None:
    async with node() as (requests, _):
        ban: Any = await requests.commands["ban"]({"what": "10.0.0.0/8", "seconds": 3600})
        [banned] = await requests.questions["banned"]()

        assert (ban["what"], ban["dropped"], ban["notes"], ban["by"]) == ("10.0.0.0/8", 1, [], "command")
        assert ban["until"] == banned["until"]
        assert banned["seconds_left"] == pytest.approx(3600, abs=10)
        assert await requests.questions["peers"]() == []
        again: Any = await requests.commands["ban"]({"what": "10.0.0.0/8", "seconds": None})
        assert (again["until"], again["seconds_left"], again["dropped"]) == (None, None, 0)


async def test_unban_says_whether_there_was_a_ban_and_which_others_overlap() -> None:
    async with node(replace(SETTINGS, ban=(parse_network("192.0.2.0/24"),))) as (requests, _):
        await requests.commands["ban"]({"what": "192.0.2.7", "seconds": 60})
        first: Any = await requests.commands["unban"]({"what": "::ffff:192.0.2.7"})
        second: Any = await requests.commands["unban"]({"what": "192.0.2.7"})

    assert [answer["lifted"] for answer in (first, second)] == [True, False]
    assert first["what"] == "192.0.2.7"
    assert [(other["what"], other["by"]) for other in second["others"]] == [("192.0.2.0/24", "settings")]


async def test_a_ban_says_who_is_not_affected() -> None:
    settings = replace(SETTINGS, addpeer=(at("10.0.0.9"),), inbound_proxy=(parse_network("10.1.0.0/16"),))
    async with node(settings) as (requests, _):
        ban: Any = await requests.commands["ban"]({"what": "10.0.0.0/8", "seconds": 60})

    assert ban["notes"] == [
        "10.0.0.9 is exempt: --addpeer or --connect names it",
        "peers behind the inbound proxy 10.1.0.0/16 are not affected",
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"what": 7},
        {"what": "192.0.2"},
        {"what": "192.0.2.7", "seconds": "1h"},
        {"what": "192.0.2.7", "seconds": True},
        {"what": "192.0.2.7", "seconds": -1},
    ],
)
async def test_arguments_that_are_wrong_are_a_value_error(arguments: dict[str, object]) -> None:
    async with node() as (requests, _):
        with pytest.raises(ValueError, match=r"what must be|neither an IP|seconds must be|a ban lasts"):
            await requests.commands["ban"](arguments)
        assert await requests.questions["banned"]() == []


@pytest.mark.real_io
async def test_a_change_that_cannot_be_stored_is_in_force_and_said_so(tmp_path: Path) -> None:
    with capture_logs() as logs:
        async with node(path=tmp_path / "missing" / "bans.json") as (requests, _):
            ban: Any = await requests.commands["ban"]({"what": "10.0.0.2", "seconds": 60})
            unban: Any = await requests.commands["unban"]({"what": "10.0.0.2"})

    assert ban["dropped"] == 1
    assert ban["notes"] == ["not stored (No such file or directory): the ban ends when the node stops"]
    assert (unban["lifted"], unban["others"]) == (True, [])
    assert unban["notes"] == ["not stored (No such file or directory): the ban is back when the node restarts"]
    assert [log["event"] for log in logs].count("bans.not_stored") == 2
