"""The circuits of a node's peers: a scripted proxy and a scripted control port, which tell of the same source ports."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs

from tests.node.daemon.test_requests import node
from tests.node.nodes import proxy_to_peer
from tests.node.tor.control_port import ControlPort
from ziggurat.node.address import parse_peer_address
from ziggurat.node.address_manager import AddressManager
from ziggurat.node.config.networks import DEVNET
from ziggurat.node.config.settings import Settings
from ziggurat.node.connection_handler import ConnectionHandler, proxy_layer
from ziggurat.node.daemon.circuits import PeerCircuits, networks_record
from ziggurat.node.daemon.daemon import report_status
from ziggurat.node.daemon.requests import NodeRequests
from ziggurat.node.p2p_service import P2pService
from ziggurat.node.tor import TorLink
from ziggurat.services import Uri

pytestmark = pytest.mark.asyncio_only

ONION = "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion"
SETTINGS = Settings(appdir=Path("/unused"), network=DEVNET, outpeers=0, maxinpeers=0)
GUARD, MIDDLE = f"{1:040X}", f"{2:040X}"
CIRCUIT = f'3 BUILT ${GUARD}~guard,${MIDDLE} PURPOSE=GENERAL SOCKS_USERNAME="S3CRET" SOCKS_PASSWORD="S3CRET"'


@asynccontextmanager
async def linked(port: ControlPort) -> AsyncGenerator[TorLink, None]:
    link = TorLink(Uri("tcp", "127.0.0.1", 9051), port.open)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(link.run)
        await anyio.wait_all_tasks_blocked()
        yield link
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def connected(target: str = "peer.example", *, source: int | None = 40123) -> AsyncGenerator[P2pService, None]:
    """A node that has dialled one peer through a proxy."""
    async with proxy_to_peer(ports=[source]) as (leaf, _):
        service = P2pService(SETTINGS, AddressManager(), handler=ConnectionHandler(proxy_layer("h"), leaf))
        async with service:
            await service.adaptor.connect_peer(parse_peer_address(target, DEVNET.port))
            yield service


async def attach(port: ControlPort, target: str, source: int = 40123, circuit: str = "3") -> None:
    await port.event(f'STREAM 17 NEW 0 {target} SOURCE_ADDR=127.0.0.1:{source} SOCKS_USERNAME="S3CRET"')
    await port.event(f'STREAM 17 SENTCONNECT {circuit} {target} SOCKS_USERNAME="S3CRET"')


async def full_second() -> None:
    """Wait for one: the virtual clock cannot tell times that differ by a rounding, as those of timers may."""
    await anyio.sleep(1 - anyio.current_time() % 1)


async def told(service: P2pService, link: TorLink | None) -> dict[str, object]:
    """What the control socket says of the one peer's tunnel."""
    peers: Any = await NodeRequests(service, PeerCircuits(link)).questions["peers"]()
    [peer] = peers
    return {name: peer[name] for name in ("network", "isolation", "circuit", "circuit_unknown")}


async def test_a_peer_has_network_isolation_and_circuit_with_its_relays() -> None:
    port = ControlPort(circuits=[CIRCUIT])
    async with linked(port) as link, connected(ONION) as service:
        await attach(port, f"{ONION}:16611")

        answer = await told(service, link)
    assert answer == {
        "network": "onion",
        "isolation": "dial",
        "circuit": {
            "id": "3",
            "path": [{"fingerprint": GUARD, "nickname": "guard"}, {"fingerprint": MIDDLE, "nickname": None}],
        },
        "circuit_unknown": None,
    }
    assert "S3CRET" not in repr(answer)


@pytest.mark.parametrize(
    ("target", "seen"),
    [
        ("peer.example", "peer.example:16611"),
        ("192.0.2.1:5", "192.0.2.1:5"),
        ("[2001:db8::1]:5", "2001:db8::1:5"),  # as Tor writes it
    ],
)
async def test_a_target_is_known_as_tor_writes_it(target: str, seen: str) -> None:
    port = ControlPort(circuits=[CIRCUIT])
    async with linked(port) as link, connected(target) as service:
        await attach(port, seen)

        assert (await told(service, link))["circuit_unknown"] is None


async def test_a_tor_that_is_too_busy_tells_the_number_only() -> None:
    port = ControlPort(circuits=[CIRCUIT])
    async with linked(port) as link, connected() as service:
        await attach(port, "peer.example:16611")
        port.silent = frozenset({"GETINFO"})

        assert (await told(service, link))["circuit"] == {"id": "3", "path": None}


async def test_where_no_circuit_is_known_the_reason_is_said() -> None:
    port = ControlPort()
    async with connected() as service:
        assert (await told(service, None))["circuit_unknown"] == "no control port"
        async with linked(port) as link:
            assert (await told(service, link))["circuit_unknown"] == "not known to Tor"
            await attach(port, "other.example:16611")  # another program's, by another Tor
            assert (await told(service, link))["circuit_unknown"] == "not known to Tor"
            await attach(port, "peer.example:16611", source=40124)
            assert (await told(service, link))["circuit_unknown"] == "not known to Tor"
            await attach(port, "peer.example:16611")
            assert (await told(service, link))["circuit"] == {"id": "3", "path": None}
            port.away = True
            await port.drop()  # it may be on another one by now
            assert (await told(service, link))["circuit"] is None
            assert (await told(service, link))["circuit_unknown"] == "Tor is away"
    async with connected(source=None) as service, linked(ControlPort()) as link:
        assert (await told(service, link))["circuit_unknown"] == "no source port"


async def test_the_status_has_networks_and_tunnels_and_neither_paths_nor_credentials() -> None:
    port = ControlPort(circuits=[CIRCUIT])
    with capture_logs() as logs:
        async with linked(port) as link:
            await full_second()
            async with connected(ONION) as service:
                await attach(port, f"{ONION}:16611")
                await full_second()
                with anyio.move_on_after(65):
                    await report_status(service, AddressManager(), PeerCircuits(link))
                await PeerCircuits(link).paths()
    [status] = [each for each in logs if each["event"] == "node.status"]

    assert status["tunnels"] == [{"peer": f"{ONION}:16611", "network": "onion", "circuit": "3", "isolation": "dial"}]
    assert status["networks"]["onion"] == {
        "way": "proxy",
        "via": "h:1080",
        "randomized": True,
        "outbound": 1,
        "inbound": 0,
    }
    for secret in ("guard", GUARD, MIDDLE, "S3CRET"):
        assert secret not in repr(logs)


async def test_a_direct_peer_has_no_tunnel() -> None:
    async with node() as (requests, _):
        peers: Any = await requests.questions["peers"]()
        [peer] = peers
        assert (peer["isolation"], peer["circuit"], peer["circuit_unknown"]) == (None, None, None)
        assert PeerCircuits().tunnels(requests._service.adaptor.peers()) == []
        record = networks_record(requests._service.adaptor.connection_handler.ways, requests._service.adaptor.peers())
    assert [(name, each["inbound"]) for name, each in record.items()] == [("ipv4", 1), ("ipv6", 0), ("onion", 0)]
