"""HttpConnectLayer against squid, tinyproxy, privoxy and haproxy, and against servers that are no HTTP proxies."""

from __future__ import annotations

import secrets
import ssl
from typing import Any

import anyio
import pytest
import trustme

from tests.interop.http_auth import Digest, Ntlm
from tests.interop.http_proxies import FORBIDDEN_PORT, Squid
from tests.interop.programs import need_ipv6
from tests.interop.proxies import PASSWORD, USER
from tests.interop.targets import BANNER, HOSTS, UNKNOWN_NAME, echo, read_exactly, refusing
from tests.interop.tor_network import TorNetwork
from ziggurat.layers import HttpConnectLayer, ServiceBuilder, Socks5Layer, UserPass
from ziggurat.layers.http_connect import HttpAuth
from ziggurat.services import (
    ConnectError,
    Connector,
    ConnectTimeout,
    DialAttribute,
    ProxyAuthError,
    ProxyProtocolError,
    ProxyRefused,
    TcpConnector,
    Uri,
)

pytestmark = pytest.mark.real_io

RIGHT, WRONG = UserPass(USER, PASSWORD), UserPass(USER, "wrong")


@pytest.fixture(params=["squid", "tinyproxy"])
def server(request: pytest.FixtureRequest) -> HttpConnectLayer:
    found = request.getfixturevalue(request.param)
    return HttpConnectLayer(found.open if isinstance(found, Squid) else found)


async def dial_and_echo(connector: Connector, uri: Uri) -> list[Any]:
    """Open a tunnel, echo something through it; return the phases."""
    async with await connector(uri) as stream:
        await stream.send(b"hello")
        assert await read_exactly(stream, 5) == b"hello"
        return [(entry.name, entry.via) for entry in stream.extra(DialAttribute.ledger).phases]


async def failure(layer: HttpConnectLayer, uri: Uri) -> ConnectError:
    """Return the error of a dial, which must be one clear line."""
    with pytest.raises(ConnectError) as caught:
        await layer.layer(TcpConnector())(uri)
    line = str(caught.value)
    assert "\n" not in line
    assert f"{uri}: proxy.connect via {layer.proxy.authority} failed" in line
    assert PASSWORD not in line
    return caught.value


@pytest.mark.parametrize("host", HOSTS)
async def test_a_tunnel_carries_bytes_both_ways(server: HttpConnectLayer, host: str) -> None:
    if host == "v6":
        need_ipv6()
    async with echo(HOSTS[host]) as port:
        await dial_and_echo(server.layer(TcpConnector()), Uri("http", HOSTS[host], port))


async def test_a_target_that_speaks_first_loses_no_bytes(server: HttpConnectLayer) -> None:
    connector = server.layer(TcpConnector())
    async with echo(first=BANNER) as port:
        for _ in range(10):  # it is a matter of chance whether its first bytes share a segment with the response
            async with await connector(Uri("http", "127.0.0.1", port)) as stream:
                assert await read_exactly(stream, len(BANNER)) == BANNER


async def test_a_hundred_dials_at_once(server: HttpConnectLayer) -> None:
    connector = server.layer(TcpConnector())
    async with echo() as port, anyio.create_task_group() as group:
        for _ in range(100):
            group.start_soon(dial_and_echo, connector, Uri("http", "127.0.0.1", port))


@pytest.mark.parametrize("what", ["refused", "unknown"])
async def test_a_target_that_is_not_there_is_refused_for_now(server: HttpConnectLayer, what: str) -> None:
    with refusing() as port:
        uri = Uri("http", "127.0.0.1", port) if what == "refused" else Uri("http", UNKNOWN_NAME, 80)
        error = await failure(server, uri)

    assert isinstance(error, ProxyRefused)
    assert error.transient
    assert error.status in (500, 503)  # tinyproxy calls it its own error
    assert ("Unable to connect" if error.status == 500 and "ERR_" not in str(error) else "(ERR_") in str(error)


async def test_squids_rules_are_named(squid: Squid) -> None:
    error = await failure(HttpConnectLayer(squid.open), Uri("http", "localhost", FORBIDDEN_PORT))

    assert isinstance(error, ProxyRefused)
    assert (error.status, error.transient) == (403, False)
    assert "403 Forbidden (ERR_ACCESS_DENIED); its rules must allow this target; squid allows CONNECT" in str(error)


# --- authentication ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["basic", "digest", "ntlm"])
async def test_squid_with_a_password(squid: Squid, scheme: str) -> None:
    digest = Digest(USER, PASSWORD)
    auth: HttpAuth = {"basic": RIGHT, "digest": digest, "ntlm": Ntlm(USER)}[scheme]
    connector = HttpConnectLayer(squid.locked, auth=auth).layer(TcpConnector())
    async with echo() as port:
        for _ in range(3):  # Digest answers the second dial without a challenge
            phases = await dial_and_echo(connector, Uri("http", "localhost", port))
            assert phases == [("tcp", squid.locked), ("proxy.connect", squid.locked)]
    assert digest.count == (3 if scheme == "digest" else 0)


@pytest.mark.parametrize(
    ("auth", "said"),
    [
        (None, "it offers Digest, NTLM, Basic; pass auth=UserPass(user, password)"),
        (WRONG, "refused the credentials: 407 Proxy Authentication Required"),
        (Digest(USER, "wrong"), "the authenticator gave up on the proxy's challenge (407)"),
    ],
    ids=["none", "basic", "digest"],
)
async def test_squid_refuses_other_credentials(squid: Squid, auth: HttpAuth, said: str) -> None:
    error = await failure(HttpConnectLayer(squid.locked, auth=auth), Uri("http", "localhost", 80))

    assert isinstance(error, ProxyAuthError)
    assert error.status == 407
    assert not error.transient
    assert said in str(error)


async def test_tinyproxy_with_a_password(tinyproxy_with_password: str) -> None:
    connector = HttpConnectLayer(tinyproxy_with_password, auth=RIGHT).layer(TcpConnector())
    async with echo() as port:
        await dial_and_echo(connector, Uri("http", "localhost", port))


@pytest.mark.parametrize(
    ("auth", "status", "said"),
    [
        (None, 407, "it offers Basic; pass auth=UserPass(user, password)"),
        (WRONG, 401, "refused the credentials: 401 Unauthorized; check user name and password"),
        (Digest(USER, PASSWORD), 407, "cannot be answered; it offers Basic; it closes the connection"),
    ],
    ids=["none", "basic", "digest"],
)
async def test_tinyproxy_refuses_other_credentials(
    tinyproxy_with_password: str, auth: HttpAuth, status: int, said: str
) -> None:
    error = await failure(HttpConnectLayer(tinyproxy_with_password, auth=auth), Uri("http", "localhost", 80))

    assert isinstance(error, ProxyAuthError)
    assert error.status == status
    assert said in str(error)


# --- TLS to the proxy, chains -----------------------------------------------------------------------------------------


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def at_address(proxy: str) -> Connector:
    """Return a leaf that finds ``localhost`` of the certificate at the proxy's own address."""
    host, _, port = proxy.partition(":")

    async def dial(uri: Uri) -> Any:
        return await TcpConnector()(Uri(uri.scheme, host, int(port)))

    return dial


@pytest.mark.parametrize("which", ["squid", "haproxy"])
async def test_a_proxy_behind_tls(which: str, request: pytest.FixtureRequest, trusting: ssl.SSLContext) -> None:
    found = request.getfixturevalue(which)
    address = found.tls if isinstance(found, Squid) else found
    if address is None:
        pytest.skip("squid was built without OpenSSL (Debian package squid-openssl)")
    proxy = f"https://localhost:{address.partition(':')[2]}"
    builder = ServiceBuilder().http_connect(proxy, auth=RIGHT).tls(trusting, alpn=())
    async with echo() as port:
        phases = await dial_and_echo(builder.service(at_address(address)), Uri("http", "localhost", port))

    assert [name for name, _ in phases] == ["tcp", "tls", "proxy.connect"]


async def test_a_tls_port_that_is_spoken_to_in_plain(squid: Squid, haproxy: str) -> None:
    for port in filter(None, (squid.tls, haproxy)):
        error = await failure(HttpConnectLayer(port), Uri("http", "localhost", 80))

        assert isinstance(error, ProxyProtocolError)
        assert "TLS" in str(error) or "closed the connection" in str(error) or "reset" in str(error)


async def test_chains_of_any_kind(squid: Squid, tinyproxy: str, microsocks: str) -> None:
    builder = ServiceBuilder()
    for chain in (
        builder.http_connect(squid.locked, auth=RIGHT).http_connect(tinyproxy),
        builder.socks5(microsocks).http_connect(squid.open),
        builder.http_connect(tinyproxy).socks5(microsocks),
    ):
        async with echo() as port:
            await dial_and_echo(chain.service(TcpConnector()), Uri("http", "localhost", port))


async def test_in_a_chain_the_proxy_that_refused_is_named(squid: Squid, tinyproxy: str) -> None:
    connector = ServiceBuilder().http_connect(squid.locked).http_connect(tinyproxy).service(TcpConnector())
    with pytest.raises(ProxyAuthError) as caught:
        await connector(Uri("http", "localhost", 80))

    assert caught.value.via == squid.locked


async def test_privoxy_in_front_of_tor(tor: TorNetwork, privoxy: str) -> None:
    connector = HttpConnectLayer(privoxy).layer(TcpConnector())
    name = f"{secrets.token_hex(4)}.v4.test"  # a new name each time, since exits cache
    async with echo() as port:
        await dial_and_echo(connector, Uri("http", name, port))

    assert name in tor.asked


# --- the wrong kind ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["microsocks", "dante", "ssh"])
async def test_a_socks_proxy_is_told_from_an_http_proxy(which: str, request: pytest.FixtureRequest) -> None:
    error = await failure(HttpConnectLayer(request.getfixturevalue(which), timeout=5.0), Uri("http", "localhost", 80))

    assert isinstance(error, ProxyProtocolError)
    assert "it speaks SOCKS5" in str(error) or "is it an HTTP proxy? SOCKS proxies do this" in str(error)


async def test_an_http_proxy_is_told_from_a_socks_proxy(squid: Squid, tinyproxy: str) -> None:
    for proxy in (squid.open, tinyproxy):
        with pytest.raises((ProxyProtocolError, ConnectTimeout)) as caught:
            await Socks5Layer(proxy, handshake_timeout=2.0).layer(TcpConnector())(Uri("http", "localhost", 80))
        assert "HTTP" in str(caught.value) or "is it a SOCKS5 proxy?" in str(caught.value)
