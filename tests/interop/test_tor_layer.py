"""`TorLayer` and `TorResolver` on a private Tor network; circuits are read from Tor's control port."""

from __future__ import annotations

import secrets
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from anyio import to_thread

from tests.interop.targets import echo
from tests.interop.test_tor import UNPUBLISHED, check_echo
from tests.interop.tor_network import TorNetwork
from tests.node.running import running
from ziggurat.layers import TorLayer, TorReply, TorResolver
from ziggurat.node.testing import KaspaPeer
from ziggurat.services import ProxyRefused, ResolveError, TcpConnector, Uri

pytestmark = pytest.mark.real_io


async def test_dials_with_an_equal_key_share_a_circuit_and_others_do_not(tor: TorNetwork) -> None:
    connector = TorLayer(tor.proxy, isolate=lambda uri: uri.host).layer(TcpConnector())
    async with echo() as port, AsyncExitStack() as streams:
        for _ in range(4):
            await check_echo(await streams.enter_async_context(await connector(Uri("tcp", "127.0.0.1", port))))
        shared = tor.client.circuits(port)
        assert len(shared) < 4  # not exactly one: if an exit is busy, Tor may try the next stream on another circuit

        await streams.enter_async_context(await connector(Uri("tcp", "localhost", port)))
        assert len(tor.client.circuits(port) - shared) == 1


async def test_by_dial_each_has_its_own_circuit(tor: TorNetwork) -> None:
    connector = TorLayer(tor.proxy).layer(TcpConnector())
    async with echo() as port, AsyncExitStack() as streams:
        for _ in range(3):
            await check_echo(await streams.enter_async_context(await connector(Uri("tcp", "127.0.0.1", port))))

        assert len(tor.client.circuits(port)) == 3


async def test_an_onion_with_an_equal_key_shares_its_circuit(tor: TorNetwork) -> None:
    by_key = TorLayer(tor.proxy, isolate=lambda uri: "all").layer(TcpConnector())
    async with echo() as port, AsyncExitStack() as streams:
        onion = Uri("tcp", tor.host.add_onion(port, f"127.0.0.1:{port}"), port)
        for _ in range(2):
            await check_echo(await streams.enter_async_context(await by_key(onion)))
        assert len(tor.client.circuits(port)) == 1

        await streams.enter_async_context(await TorLayer(tor.proxy).layer(TcpConnector())(onion))
        assert len(tor.client.circuits(port)) == 2


@pytest.mark.asyncio_only
async def test_each_peer_of_the_node_has_a_circuit_of_its_own(tor: TorNetwork, tmp_path: Path) -> None:
    """Two by address, one by name, and one by onion."""
    async with AsyncExitStack() as stack:
        ports = []
        for _ in range(4):
            peer = await stack.enter_async_context(KaspaPeer().run())
            ports.append((await stack.enter_async_context(peer.listen())).port)
        onion = await to_thread.run_sync(tor.host.add_onion, ports[3], f"127.0.0.1:{ports[3]}")
        hosts = ("127.0.0.1", "127.0.0.1", f"{secrets.token_hex(4)}.v4.test", onion)
        targets = [f"{host}:{port}" for host, port in zip(hosts, ports, strict=True)]
        flags = [part for target in targets for part in ("--addpeer", target)]
        async with running("-b", tmp_path, "--nodnsseed", "--socks5-proxy", tor.proxy, *flags) as node:
            for target in targets:
                await node.wait_for("peer.connected", peer=target)
            circuits = [tor.client.circuits(port) for port in ports]
            assert await node.stop() == 0

    assert [len(each) for each in circuits] == [1] * 4
    assert len(set[str]().union(*circuits)) == 4


async def test_an_exit_resolves_a_name(tor: TorNetwork) -> None:
    resolver, name = TorResolver(tor.proxy), f"{secrets.token_hex(4)}.v4.test"

    assert await resolver.resolve(name) == "127.0.0.1"
    assert name in tor.asked
    assert await resolver.resolve(f"{secrets.token_hex(4)}.v6.test") == "::1"


async def test_an_exit_finds_the_name_of_an_address(tor: TorNetwork) -> None:
    assert await TorResolver(tor.proxy).reverse("198.51.101.9") == "host.v4.test"
    assert "9.101.51.198.in-addr.arpa" in tor.asked


async def test_an_exit_does_not_ask_for_the_name_of_a_private_address(tor: TorNetwork) -> None:
    with pytest.raises(ProxyRefused) as caught:
        await TorResolver(tor.proxy).reverse("127.0.0.9")

    assert caught.value.reply_code == TorReply.HOST_UNREACHABLE
    assert "9.0.0.127.in-addr.arpa" not in tor.asked


async def test_a_name_that_does_not_exist_and_an_onion(tor: TorNetwork) -> None:
    with pytest.raises(ProxyRefused) as caught:
        await TorResolver(tor.proxy).resolve("nobody.test")
    assert caught.value.reply_code == TorReply.HOST_UNREACHABLE
    with pytest.raises(ResolveError, match="onion services have no address"):
        await TorResolver(tor.proxy).resolve(UNPUBLISHED)
