"""Socks4Layer against dante, ssh -D and Tor, and against microsocks, which knows SOCKS5 only."""

from __future__ import annotations

import secrets

import pytest

from tests.interop.programs import need_ipv6
from tests.interop.targets import BANNER, HOSTS, echo, read_exactly, refusing
from tests.interop.tor_network import TorNetwork
from ziggurat.layers import Socks4Layer
from ziggurat.services import ConnectError, ProxyProtocolError, ProxyRefused, TcpConnector, Uri

pytestmark = pytest.mark.real_io


@pytest.fixture(params=["dante", "ssh"])
def server(request: pytest.FixtureRequest) -> str:
    address: str = request.getfixturevalue(request.param)
    return address


async def dial_and_echo(layer: Socks4Layer, uri: Uri) -> None:
    async with await layer.layer(TcpConnector())(uri) as stream:
        await stream.send(b"hello")
        assert await read_exactly(stream, 5) == b"hello"


@pytest.mark.parametrize("user", ["", "ziggurat"])
async def test_a_tunnel_carries_bytes_both_ways(server: str, user: str) -> None:
    async with echo() as port:
        await dial_and_echo(Socks4Layer(server, user_id=user), Uri("http", "127.0.0.1", port))


@pytest.mark.parametrize("host", ["name", "v6"])
async def test_names_and_ipv6_go_to_the_proxy_unresolved(ssh: str, host: str) -> None:
    if host == "v6":
        need_ipv6()
    async with echo(HOSTS[host]) as port:
        await dial_and_echo(Socks4Layer(ssh), Uri("http", HOSTS[host], port))


async def test_a_proxy_without_4a_refuses_a_name(dante: str) -> None:
    async with echo("localhost") as port:
        with pytest.raises(ProxyRefused, match="the proxy may not know SOCKS 4A") as caught:
            await Socks4Layer(dante).layer(TcpConnector())(Uri("http", "localhost", port))

    assert caught.value.reply_code == 0x5B


async def test_a_target_that_speaks_first_loses_no_bytes(server: str) -> None:
    connector = Socks4Layer(server).layer(TcpConnector())
    async with echo(first=BANNER) as port:
        for _ in range(10):
            async with await connector(Uri("http", "127.0.0.1", port)) as stream:
                assert await read_exactly(stream, len(BANNER)) == BANNER


async def test_plain_socks4_takes_addresses_only(server: str) -> None:
    layer = Socks4Layer(server, remote_dns=False)
    async with echo() as port:
        await dial_and_echo(layer, Uri("http", "127.0.0.1", port))
        with pytest.raises(ConnectError, match="plain SOCKS4 cannot express a name"):
            await dial_and_echo(layer, Uri("http", "localhost", port))


async def test_a_refused_target(server: str) -> None:
    with refusing() as port, pytest.raises((ProxyRefused, ProxyProtocolError)) as caught:
        await dial_and_echo(Socks4Layer(server), Uri("http", "127.0.0.1", port))

    assert caught.value.transient
    assert caught.value.phase == "proxy.connect"
    # ssh just closes
    assert caught.value.reply_code == (0x5B if isinstance(caught.value, ProxyRefused) else None)


async def test_tor_looks_up_the_name_at_its_exit(tor: TorNetwork) -> None:
    name = f"{secrets.token_hex(4)}.v4.test"
    async with echo() as port:
        await dial_and_echo(Socks4Layer(tor.proxy, user_id="isolates"), Uri("http", name, port))

    assert name in tor.asked


async def test_a_socks5_proxy_is_told(microsocks: str) -> None:
    with pytest.raises(ProxyProtocolError, match=r"it speaks SOCKS5|is it a SOCKS4 proxy\?"):
        await dial_and_echo(Socks4Layer(microsocks, timeout=5.0), Uri("http", "127.0.0.1", 80))
