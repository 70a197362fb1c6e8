"""Socks5Layer through a private Tor network: exits, onion services, isolation, Tor's error codes."""

from __future__ import annotations

import secrets
from contextlib import AsyncExitStack

import pytest
from anyio.abc import ByteStream

from tests.interop.programs import need_ipv6
from tests.interop.proxies import through
from tests.interop.targets import BANNER, HOSTS, echo, read_exactly, refusing
from tests.interop.tor_network import TorNetwork
from ziggurat.layers import Isolated, Socks5Layer, UserPass
from ziggurat.services import ProxyAuthError, ProxyRefused, SocketConnector, TcpConnector, Uri

pytestmark = pytest.mark.real_io

UNPUBLISHED = "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion"
"""A valid name that is unknown in this network."""

MISTYPED = UNPUBLISHED.replace("pg6", "pg7")


async def check_echo(stream: ByteStream) -> None:
    await stream.send(b"hello")

    assert await read_exactly(stream, 5) == b"hello"


async def refusal(layer: Socks5Layer, uri: Uri) -> ProxyRefused:
    with pytest.raises(ProxyRefused) as caught:
        await layer.layer(TcpConnector())(uri)
    line = str(caught.value)
    assert "\n" not in line
    assert f"{uri}: proxy.connect via {layer.proxy.authority} failed" in line
    assert f"({caught.value.reply_code:#04x})" in line
    return caught.value


@pytest.mark.parametrize("host", HOSTS)
async def test_a_target_is_reached_through_an_exit(tor: TorNetwork, host: str) -> None:
    if host == "v6":
        need_ipv6()
    connector = through(tor.proxy, auth=Isolated()).layer(TcpConnector())
    async with echo(HOSTS[host]) as port, await connector(Uri("http", HOSTS[host], port)) as stream:
        await check_echo(stream)


async def test_the_exit_looks_up_the_name(tor: TorNetwork) -> None:
    name = f"{secrets.token_hex(4)}.v4.test"  # a new name each time, since exits cache
    connector = through(tor.proxy, auth=Isolated()).layer(TcpConnector())
    async with echo() as port, await connector(Uri("http", name, port)) as stream:
        await check_echo(stream)

    assert name in tor.asked


@pytest.mark.parametrize("auth", [None, UserPass("any", "thing"), Isolated()], ids=repr)
async def test_a_proxy_on_a_unix_socket(tor: TorNetwork, auth: UserPass | Isolated | None) -> None:
    connector = through(tor.unix_proxy, auth=auth).layer(SocketConnector())
    async with echo() as port, await connector(Uri("http", "127.0.0.1", port)) as stream:
        await check_echo(stream)


async def test_an_error_over_a_unix_socket_is_read_like_any_other(tor: TorNetwork) -> None:
    connector = through(tor.unix_proxy, auth=Isolated()).layer(SocketConnector())
    with pytest.raises(ProxyRefused) as caught:
        await connector(Uri("http", MISTYPED, 80))

    assert caught.value.reply_code == 0xF6
    assert caught.value.via == tor.unix_proxy


async def test_each_isolated_dial_has_its_own_circuit(tor: TorNetwork) -> None:
    connector = through(tor.proxy, auth=Isolated()).layer(TcpConnector())
    async with echo() as port:
        uri = Uri("http", "127.0.0.1", port)
        async with await connector(uri) as one, await connector(uri) as two:
            await check_echo(one)
            await check_echo(two)

            assert len(tor.client.circuits(port)) == 2


async def test_dials_with_an_equal_key_share_a_circuit(tor: TorNetwork) -> None:
    connector = through(tor.proxy, auth=Isolated(key=lambda uri: uri.host)).layer(TcpConnector())
    async with echo() as port:
        same, other = Uri("http", "127.0.0.1", port), Uri("http", "localhost", port)
        async with AsyncExitStack() as streams:
            for _ in range(4):
                await streams.enter_async_context(await connector(same))
            shared = tor.client.circuits(port)
            # Not exactly one: if an exit is busy, Tor may try the next stream on another circuit.
            assert len(shared) < 4

            await streams.enter_async_context(await connector(other))
            assert len(tor.client.circuits(port) - shared) == 1


async def test_an_onion_service_is_reached(tor: TorNetwork) -> None:
    connector = through(tor.proxy, auth=Isolated()).layer(TcpConnector())
    async with echo(first=BANNER) as port:
        onion = tor.host.add_onion(80, f"127.0.0.1:{port}")
        async with await connector(Uri("http", onion, 80)) as stream:
            assert await read_exactly(stream, len(BANNER)) == BANNER
            await check_echo(stream)
        async with await connector(Uri("http", f"www.{onion.upper()}", 80)) as stream:
            assert await read_exactly(stream, len(BANNER)) == BANNER


@pytest.mark.parametrize("pipeline", [None, "auth"])
@pytest.mark.parametrize("auth", [None, UserPass("any", "thing"), Isolated(), Isolated(required=False)], ids=repr)
async def test_pipelining_up_to_the_credentials_works(
    tor: TorNetwork, pipeline: None, auth: UserPass | Isolated | None
) -> None:
    connector = through(tor.proxy, auth=auth, pipeline=pipeline).layer(TcpConnector())
    async with echo(first=BANNER) as port, await connector(Uri("http", "127.0.0.1", port)) as stream:
        assert await read_exactly(stream, len(BANNER)) == BANNER


async def test_pipelining_everything_works_without_credentials(tor: TorNetwork) -> None:
    connector = through(tor.proxy, pipeline="all").layer(TcpConnector())
    async with echo() as port, await connector(Uri("http", "127.0.0.1", port)) as stream:
        await check_echo(stream)


async def test_a_refused_target_has_tors_general_code(tor: TorNetwork) -> None:
    with refusing() as port:
        error = await refusal(through(tor.proxy, auth=Isolated()), Uri("http", "127.0.0.1", port))

    assert error.reply_code == 1
    assert "Tor also sends this for a refused port" in str(error)


async def test_an_unknown_name_is_an_unreachable_host(tor: TorNetwork) -> None:
    error = await refusal(through(tor.proxy, auth=Isolated()), Uri("http", "nobody.test", 80))

    assert error.reply_code == 4


async def test_an_onion_that_was_never_published(tor: TorNetwork) -> None:
    uri = Uri("http", UNPUBLISHED, 80)
    error = await refusal(through(tor.proxy, auth=Isolated()), uri)
    plain = await refusal(through(tor.plain_proxy, auth=Isolated()), uri)

    assert (error.reply_code, error.transient) == (0xF0, True)
    assert "descriptor not found (0xf0)" in str(error)
    assert plain.reply_code == 4


async def test_a_mistyped_onion(tor: TorNetwork) -> None:
    uri = Uri("http", MISTYPED, 80)
    error = await refusal(through(tor.proxy, auth=Isolated()), uri)
    plain = await refusal(through(tor.plain_proxy, auth=Isolated()), uri)

    assert (error.reply_code, error.transient) == (0xF6, False)
    assert plain.reply_code == 1


async def test_an_onion_service_without_that_port(tor: TorNetwork) -> None:
    onion = tor.host.add_onion(80, "127.0.0.1:9")
    error = await refusal(through(tor.proxy, auth=Isolated()), Uri("http", onion, 81))

    assert error.reply_code == 5


async def test_a_user_name_reserved_by_tor_is_refused_despite_an_odd_reply(tor: TorNetwork) -> None:
    connector = through(tor.proxy, auth=UserPass("<torS0X>9", "x")).layer(TcpConnector())
    with pytest.raises(ProxyAuthError) as caught:
        await connector(Uri("http", "127.0.0.1", 9))

    assert caught.value.phase == "proxy.auth"
    assert "(status 0x01)" in str(caught.value)
