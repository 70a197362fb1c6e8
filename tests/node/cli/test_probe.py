"""Probes of the embedded peer, directly and through proxies that work or fail."""

from __future__ import annotations

import errno
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from anyio.abc import ByteStream, SocketAttribute, SocketStream

from ziggurat.layers.testing import Socks5Server
from ziggurat.node.address import NamedAddress, NetAddress, parse_peer_address
from ziggurat.node.cli.probe import probe
from ziggurat.node.config.networks import DEVNET, SIMNET
from ziggurat.node.config.proxy import parse_socks5_proxy
from ziggurat.node.config.settings import Settings
from ziggurat.node.testing import KaspaPeer
from ziggurat.services import ConnectTimeout, ProxyRefused, Uri

pytestmark = [pytest.mark.asyncio_only, pytest.mark.real_io]

SETTINGS = Settings(appdir=Path("/unused"), network=DEVNET)
NAME = NamedAddress("peer.example", 16611)


@asynccontextmanager
async def listening(serve: Callable[[SocketStream], Awaitable[None]]) -> AsyncGenerator[NetAddress, None]:
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        port = listener.extra(SocketAttribute.local_port)
        yield NetAddress.parse(f"127.0.0.1:{port}")
        tasks.cancel_scope.cancel()


async def silent(stream: SocketStream) -> None:
    async with stream:
        await anyio.sleep_forever()


def through(address: object) -> Settings:
    return replace(SETTINGS, proxy=parse_socks5_proxy(str(address)))


async def test_a_peer_that_answers_is_returned_and_disconnected_in_order() -> None:
    peer = KaspaPeer()
    async with peer.run(), peer.listen() as address:
        result = await probe(address, SETTINGS)
        await peer.sessions[0].closed.wait()

    assert result.error is None
    assert result.peer is not None
    assert (result.peer.id, result.peer.network) == (peer.id, "kaspa-devnet")
    assert result.ledger is not None
    assert [entry.name for entry in result.ledger.phases] == ["tcp", "http2", "handshake"]
    assert result.via is None


async def test_a_name_goes_to_the_proxy_unresolved() -> None:
    peer = KaspaPeer()
    async with peer.run(), peer.listen() as address:

        async def reach(uri: Uri) -> ByteStream:
            return await anyio.connect_tcp(str(address.ip), address.port)

        proxy = Socks5Server(connector=reach)
        async with proxy.serve() as at:
            result = await probe(NAME, through(at.authority))

    assert result.peer is not None
    assert result.via == at.authority
    assert proxy.requests[-1].host == NAME.name


async def test_a_peer_on_another_network_is_a_target_failure_with_its_reason() -> None:
    peer = KaspaPeer()
    async with peer.run(), peer.listen() as address:
        result = await probe(address, replace(SETTINGS, network=SIMNET))

    assert "Network mismatch" in str(result.error)
    assert result.error is not None
    assert result.error.phase == "handshake"
    assert not result.proxy_failed


async def test_a_target_that_refuses_is_not_a_proxy_failure() -> None:
    async def refuse(uri: Uri) -> ByteStream:
        raise ConnectionRefusedError(errno.ECONNREFUSED, "no")

    async with Socks5Server(connector=refuse).serve() as at:
        result = await probe(NAME, through(at.authority))

    assert isinstance(result.error, ProxyRefused)
    assert result.error.reply_code == 5
    assert not result.proxy_failed


async def test_an_unreachable_proxy_is_a_proxy_failure() -> None:
    result = await probe(NAME, through("127.0.0.1:1"))

    assert result.error is not None
    assert result.error.phase == "tcp"
    assert result.proxy_failed


async def test_a_rejected_password_is_a_proxy_failure() -> None:
    async with Socks5Server({"u": "p"}).serve() as at:
        result = await probe(NAME, through(f"socks5://u:wrong@{at.authority}"))

    assert result.proxy_failed
    assert "wrong" not in str(result.error)


async def test_a_timeout_names_the_phase_and_tells_proxy_from_target() -> None:
    async with listening(silent) as address:
        mute_proxy = await probe(NAME, through(address), timeout=0.3)
        mute_peer = await probe(address, SETTINGS, timeout=0.3)

    for result in (mute_proxy, mute_peer):
        assert isinstance(result.error, ConnectTimeout)
        assert (result.error.limit, result.error.name) == (0.3, "timeout")
        assert result.ledger is not None
    assert mute_proxy.error is not None
    assert mute_proxy.error.phase == "proxy.greeting"
    assert mute_proxy.proxy_failed
    assert not mute_peer.proxy_failed
    assert mute_peer.ledger is not None
    assert mute_peer.ledger.phases[0].name == "tcp"


async def test_a_refused_connection_is_not_a_proxy_failure() -> None:
    result = await probe(parse_peer_address("127.0.0.1:1"), SETTINGS)

    assert result.error is not None
    assert not result.proxy_failed
