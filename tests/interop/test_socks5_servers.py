"""Socks5Layer against microsocks, dante and ssh -D."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.interop.programs import need_ipv6
from tests.interop.proxies import PASSWORD, USER, through
from tests.interop.targets import BANNER, HOSTS, UNKNOWN_NAME, echo, read_exactly, refusing
from ziggurat.layers import Isolated, ServiceBuilder, Socks5Layer, UserPass
from ziggurat.services import (
    ConnectError,
    ConnectTimeout,
    DialAttribute,
    ProxyAuthError,
    ProxyError,
    ProxyProtocolError,
    ProxyRefused,
    TcpConnector,
    Uri,
)

pytestmark = pytest.mark.real_io

SERVERS = ("microsocks", "dante", "ssh")
WITH_PASSWORD = ("microsocks_with_password", "dante_with_password")

RIGHT = UserPass(USER, PASSWORD)


@dataclass(frozen=True)
class Server:
    name: str
    proxy: str

    def __str__(self) -> str:
        return self.name


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> Server:
    return Server(request.param, request.getfixturevalue(request.param))


@pytest.fixture(params=WITH_PASSWORD)
def locked(request: pytest.FixtureRequest) -> Server:
    return Server(request.param, request.getfixturevalue(request.param))


async def dial_and_echo(layer: Socks5Layer, uri: Uri) -> None:
    """Open a tunnel and echo something through it."""
    async with await layer.layer(TcpConnector())(uri) as stream:
        await stream.send(b"hello")
        assert await read_exactly(stream, 5) == b"hello"
        await stream.send_eof()


async def failure(layer: Socks5Layer, uri: Uri) -> ConnectError:
    """Return the error of a dial, which must be one clear line."""
    with pytest.raises(ConnectError) as caught:
        await layer.layer(TcpConnector())(uri)
    line = str(caught.value)
    assert "\n" not in line
    assert f"via {layer.proxy.authority} failed" in line
    assert str(uri) in line
    return caught.value


@pytest.mark.parametrize("host", HOSTS)
async def test_a_tunnel_carries_bytes_both_ways(server: Server, host: str) -> None:
    if host == "v6":
        need_ipv6()
    async with echo(HOSTS[host]) as port:
        await dial_and_echo(through(server.proxy), Uri("http", HOSTS[host], port))


@pytest.mark.parametrize("literal", ["127.0.0.1", "::1"])
async def test_a_literal_may_be_sent_as_a_name(server: Server, literal: str) -> None:
    if ":" in literal:
        need_ipv6()
    async with echo(literal) as port:
        await dial_and_echo(through(server.proxy, literals="domain"), Uri("http", literal, port))


async def test_a_target_that_speaks_first_loses_no_bytes(server: Server) -> None:
    connector = through(server.proxy).layer(TcpConnector())
    async with echo(first=BANNER) as port:
        for _ in range(10):  # it is a matter of chance whether its first bytes share a segment with the reply
            async with await connector(Uri("http", "127.0.0.1", port)) as stream:
                assert await read_exactly(stream, len(BANNER)) == BANNER


async def test_the_error_of_a_refused_target_has_the_reply_code(server: Server) -> None:
    with refusing() as port:
        error = await failure(through(server.proxy), Uri("http", "127.0.0.1", port))

    assert error.phase == "proxy.connect"
    if server.name == "ssh":  # sends no reply and just closes
        assert isinstance(error, ProxyProtocolError)
        assert "ssh -D" in str(error)
        assert error.transient
    else:
        assert isinstance(error, ProxyRefused)
        assert error.reply_code == 5
        assert "connection refused (0x05)" in str(error)


async def test_the_error_of_an_unknown_name_has_the_reply_code(server: Server) -> None:
    error = await failure(through(server.proxy), Uri("http", UNKNOWN_NAME, 80))

    assert isinstance(error, ProxyError)
    assert error.phase == "proxy.connect"
    assert error.reply_code == {"microsocks": 1, "dante": 4, "ssh": None}[server.name]
    assert error.ledger is not None
    assert [phase.name for phase in error.ledger.phases] == ["tcp", "proxy.greeting", "proxy.connect"]


async def test_the_right_password_opens_the_tunnel(locked: Server) -> None:
    async with echo() as port:
        await dial_and_echo(through(locked.proxy, auth=RIGHT), Uri("http", "127.0.0.1", port))
        await dial_and_echo(through(f"socks5h://{USER}:{PASSWORD}@{locked.proxy}"), Uri("http", "localhost", port))


async def test_a_wrong_password_is_an_authentication_error(locked: Server) -> None:
    error = await failure(through(locked.proxy, auth=UserPass(USER, "open-says-me")), Uri("http", "127.0.0.1", 9))

    assert isinstance(error, ProxyAuthError)
    assert error.phase == "proxy.auth"
    assert "open-says-me" not in str(error)
    assert {"microsocks": "0x02", "dante": "0x01"}[locked.name.partition("_")[0]] in str(error)


async def test_the_error_says_that_the_proxy_wants_authentication(locked: Server) -> None:
    error = await failure(through(locked.proxy), Uri("http", "127.0.0.1", 9))

    assert isinstance(error, ProxyAuthError)
    assert error.phase == "proxy.greeting"
    assert "wants authentication (0xff)" in str(error)


async def test_required_isolation_refuses_a_proxy_without_authentication(server: Server) -> None:
    error = await failure(through(server.proxy, auth=Isolated()), Uri("http", "127.0.0.1", 9))

    assert isinstance(error, ProxyError)
    assert error.phase == "proxy.greeting"
    assert isinstance(error, ProxyAuthError) or server.name == "ssh"


async def test_optional_isolation_is_dropped_with_a_note(server: Server) -> None:
    connector = through(server.proxy, auth=Isolated(required=False)).layer(TcpConnector())
    async with echo() as port, await connector(Uri("http", "127.0.0.1", port)) as stream:
        await stream.send(b"hello")
        assert await read_exactly(stream, 5) == b"hello"
        ledger = stream.extra(DialAttribute.ledger)

    assert any("nothing was isolated" in (phase.note or "") for phase in ledger.phases)


async def test_pipelining_everything_works_if_the_proxy_keeps_what_it_read(server: Server) -> None:
    layer = through(server.proxy, pipeline="all", connect_timeout=0.3)
    async with echo() as port:
        uri = Uri("http", "127.0.0.1", port)
        if server.name == "microsocks":  # drops what it reads after a message
            error = await failure(layer, uri)
            assert isinstance(error, ConnectTimeout)
            assert (error.phase, error.name) == ("proxy.connect", "connect_timeout")
        else:
            await dial_and_echo(layer, uri)


@pytest.mark.parametrize("pipeline", ["auth", "all"])
async def test_credentials_can_be_pipelined_if_the_proxy_keeps_what_it_read(locked: Server, pipeline: str) -> None:
    layer = through(locked.proxy, auth=RIGHT, pipeline=pipeline, handshake_timeout=1.0, connect_timeout=0.3)  # type: ignore[arg-type]
    async with echo() as port:
        uri = Uri("http", "127.0.0.1", port)
        if locked.name == "microsocks_with_password":
            assert isinstance(await failure(layer, uri), ConnectTimeout)
        else:
            await dial_and_echo(layer, uri)


async def test_two_proxies_form_a_chain(dante: str, microsocks: str) -> None:
    connector = ServiceBuilder().socks5(microsocks).socks5(dante).service(TcpConnector())
    async with echo() as port, await connector(Uri("http", "localhost", port)) as stream:
        await stream.send(b"hello")
        assert await read_exactly(stream, 5) == b"hello"
        ledger = stream.extra(DialAttribute.ledger)

    asked = [(phase.name, phase.via) for phase in ledger.phases if phase.name == "proxy.connect"]
    assert asked == [("proxy.connect", dante), ("proxy.connect", microsocks)]


async def test_in_a_chain_the_proxy_that_refused_is_named(dante: str, microsocks: str) -> None:
    connector = ServiceBuilder().socks5(microsocks).socks5(dante).service(TcpConnector())
    with refusing() as port, pytest.raises(ProxyRefused) as caught:
        await connector(Uri("http", "127.0.0.1", port))

    assert caught.value.via == microsocks
    assert not caught.value.sent_to_target
