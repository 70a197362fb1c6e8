"""`TorLayer`, `TorResolver` and `TorReply` on a private Tor network; circuits are read from Tor's control port."""

from __future__ import annotations

import base64
import secrets
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.interop.targets import echo, refusing
from tests.interop.test_tor import MISTYPED, UNPUBLISHED, check_echo
from tests.interop.tor_network import TorNetwork
from tests.node.running import running
from ziggurat.layers import Isolated, Socks5Layer, TorLayer, TorReply, TorResolver
from ziggurat.node.testing import KaspaPeer
from ziggurat.services import ProxyRefused, ResolveError, TcpConnector, Uri

pytestmark = pytest.mark.real_io


async def refused(tor: TorNetwork, host: str, port: int = 80) -> TorReply:
    """Dial what Tor refuses, with `Socks5Layer`, since `TorLayer` does not send a bad name."""
    connector = Socks5Layer(tor.proxy, auth=Isolated()).layer(TcpConnector())
    with pytest.raises(ProxyRefused) as caught:
        await connector(Uri("tcp", host, port))
    reply = TorReply(caught.value.reply_code or 0)
    assert reply.meaning in str(caught.value)
    assert caught.value.transient == (reply.retry != "never")
    return reply


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
async def test_two_peers_of_the_node_have_two_circuits(tor: TorNetwork, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        ports = []
        for _ in range(2):
            peer = await stack.enter_async_context(KaspaPeer().run())
            ports.append((await stack.enter_async_context(peer.listen())).port)
        targets = [part for port in ports for part in ("--addpeer", f"127.0.0.1:{port}")]
        async with running("-b", tmp_path, "--nodnsseed", "--socks5-proxy", tor.proxy, *targets) as node:
            for port in ports:
                await node.wait_for("peer.connected", peer=f"127.0.0.1:{port}")
            one, two = map(tor.client.circuits, ports)
            assert await node.stop() == 0

    assert (len(one), len(two)) == (1, 1)
    assert one != two


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


async def test_codes_of_targets_behind_an_exit(tor: TorNetwork) -> None:
    with refusing() as port:
        assert await refused(tor, "127.0.0.1", port) is TorReply.GENERAL_FAILURE
    assert await refused(tor, "nobody.test") is TorReply.HOST_UNREACHABLE


async def test_codes_of_onions_by_their_names(tor: TorNetwork) -> None:
    assert await refused(tor, UNPUBLISHED) is TorReply.DESCRIPTOR_NOT_FOUND
    assert await refused(tor, MISTYPED) is TorReply.BAD_ADDRESS
    assert await refused(tor, "expyuzz4wqqyqhjn.onion") is TorReply.BAD_ADDRESS  # version 2


async def test_codes_of_an_onion_that_is_there(tor: TorNetwork) -> None:
    async with echo() as port:
        onion = tor.host.add_onion(80, f"127.0.0.1:{port}")
        assert await refused(tor, onion, 81) is TorReply.CONNECTION_REFUSED  # a port that it does not offer
        async with await TorLayer(tor.proxy).layer(TcpConnector())(Uri("tcp", onion, 80)) as stream:
            await check_echo(stream)
    assert await refused(tor, onion, 80) is TorReply.GENERAL_FAILURE  # its target is closed


async def test_codes_of_an_onion_that_wants_a_key(tor: TorNetwork) -> None:
    public = base64.b32encode(secrets.token_bytes(32)).decode().rstrip("=")
    onion = tor.host.add_onion(80, "127.0.0.1:9", client_key=public)
    assert await refused(tor, onion) is TorReply.CLIENT_AUTH_MISSING
    wrong = base64.b64encode(secrets.token_bytes(32)).decode()
    tor.client.ask(f"ONION_CLIENT_AUTH_ADD {onion.removesuffix('.onion')} x25519:{wrong}")
    assert await refused(tor, onion) is TorReply.CLIENT_AUTH_WRONG
