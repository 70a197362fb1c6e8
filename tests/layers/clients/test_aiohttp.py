"""aiohttp over a stack, through a real proxy to a real server."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import aiohttp
import anyio
import pytest
from anyio.abc import ByteStream

from tests.layers.clients.servers import (
    HOST,
    Corner,
    Web,
    client_context,
    corner,
    nothing_but,
    serve,
    server_context,
    settle,
    until,
)
from ziggurat.layers import ServiceBuilder
from ziggurat.layers.clients import AiohttpDialer
from ziggurat.layers.testing import HttpReply, ScriptedHttpProxy, Socks5Server
from ziggurat.services import Connector, ConnectTimeout, ProxyAuthError, TcpConnector, Uri
from ziggurat.services.limit import Limit

pytestmark = [pytest.mark.asyncio_only, pytest.mark.real_io]


@asynccontextmanager
async def session(connector: Connector) -> AsyncGenerator[aiohttp.ClientSession]:
    dialer = AiohttpDialer(connector)
    tcp = aiohttp.TCPConnector(
        resolver=dialer, socket_factory=dialer.make_socket, use_dns_cache=False, ssl=client_context()
    )
    async with aiohttp.ClientSession(connector=tcp) as http:
        yield http
    await dialer.close()
    await asyncio.sleep(0)


async def text(http: aiohttp.ClientSession, url: str) -> str:
    async with http.get(url) as response:
        return await response.text()


async def test_requests_go_through_the_proxy_and_keep_their_connection() -> None:
    web = Web()
    async with corner() as here, serve(web.handle) as port, session(here.connector) as http:
        with nothing_but(here, port):
            for target in ("a", "b"):
                assert await text(http, f"http://{HOST}:{port}/{target}") == f"GET /{target}"
        assert here.targets == [HOST]
        assert web.connections == 1


async def test_many_requests_at_once_have_a_connection_each() -> None:
    web = Web()
    async with corner() as here, serve(web.handle) as port, session(here.connector) as http:
        answers = await asyncio.gather(*(text(http, f"http://{HOST}:{port}/{n}") for n in range(8)))
        assert answers == [f"GET /{n}" for n in range(8)]
        assert web.connections == len(here.targets) == 8


async def test_https_verifies_the_target_behind_the_proxy() -> None:
    async with corner() as here, serve(Web().handle, server_context()) as port, session(here.connector) as http:
        assert await text(http, f"https://{HOST}:{port}/") == "GET /"
        with pytest.raises(aiohttp.ClientConnectorCertificateError, match="localhost"):
            await text(http, f"https://localhost:{port}/")


async def test_the_error_of_the_dial_is_the_error_of_the_request() -> None:
    """aiohttp-socks #52: aiohttp took every OSError for its own, and the proxy's was lost."""
    async with corner() as here, session(here.stack("wrong")) as http:
        with pytest.raises(aiohttp.ClientConnectorError, match="check user name and password") as caught:
            await text(http, f"http://{HOST}/")
        assert isinstance(caught.value.os_error, ProxyAuthError)
        with pytest.raises(aiohttp.ClientConnectorError, match="bad host"):
            await text(http, "http://bad..example/")


async def test_an_http_proxy_and_its_refusal() -> None:
    for reply in (HttpReply(), HttpReply(403)):
        async with (
            ScriptedHttpProxy(reply, target=Web().handle).serve() as proxy,
            session(ServiceBuilder().http_connect(proxy).service(TcpConnector())) as http,
        ):
            if reply.status == 200:
                assert await text(http, f"http://{HOST}/") == "GET /"
            else:
                with pytest.raises(aiohttp.ClientConnectorError, match="403"):
                    await text(http, f"http://{HOST}/")


async def test_a_limit_of_the_stack_is_a_timeout_with_its_cause() -> None:
    async def stuck(uri: Uri) -> ByteStream:
        with Limit(0.01, "tunnel"):
            await anyio.sleep_forever()
        raise AssertionError

    async with session(stuck) as http:
        with pytest.raises(aiohttp.ConnectionTimeoutError) as caught:
            await text(http, f"http://{HOST}/")
        assert isinstance(caught.value.__cause__, ConnectTimeout)


async def test_an_address_is_dialled_by_the_stack_too() -> None:
    """aiohttp does not look it up, and would connect to it directly."""
    async with corner() as here, serve(Web().handle, server_context()) as port, session(here.connector) as http:
        with nothing_but(here, port):
            assert await text(http, f"https://127.0.0.1:{port}/") == "GET /"
        assert here.targets == ["127.0.0.1"]


async def test_an_address_that_cannot_be_dialled_says_why_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with corner() as here, session(here.stack("wrong")) as http:
        with caplog.at_level(logging.WARNING, "ziggurat"), pytest.raises(aiohttp.ClientError):
            await text(http, "http://127.0.0.1:1/")
        assert "check user name and password" in caplog.text
        assert here.targets == []


@asynccontextmanager
async def session_with(here: Corner, **options: object) -> AsyncGenerator[aiohttp.ClientSession]:
    """As `session`, with other arguments of the connector."""
    dialer = AiohttpDialer(here.connector)
    arguments = {"resolver": dialer, "socket_factory": dialer.make_socket, "use_dns_cache": False} | options
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(**arguments)) as http:  # type: ignore[arg-type]
        yield http
    await dialer.close()
    await settle()


async def test_a_forgotten_argument_fails_and_never_goes_around_the_stack() -> None:
    async with corner() as here, serve(Web().handle) as port:
        async with session_with(here, socket_factory=None) as http:
            with pytest.raises(aiohttp.ClientConnectorError, match="unreachable"):
                await text(http, f"http://{HOST}:{port}/")
        async with session_with(here, use_dns_cache=True, force_close=True) as http:
            assert await text(http, f"http://{HOST}:{port}/") == "GET /"
            with pytest.raises(aiohttp.ClientConnectorError, match="use_dns_cache=False"):
                await text(http, f"http://{HOST}:{port}/")
        async with session_with(here, family=socket.AF_INET6) as http:
            with pytest.raises(aiohttp.ClientConnectorError, match=r"leave out aiohttp.TCPConnector's family="):
                await text(http, f"http://{HOST}:{port}/")


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6")
async def test_a_proxy_reached_by_ipv6() -> None:
    async def reach(uri: Uri) -> ByteStream:
        return await anyio.connect_tcp("127.0.0.1", uri.port)

    async with (
        serve(Web().handle) as port,
        Socks5Server(connector=reach).serve("::1") as proxy,
        session(ServiceBuilder().socks5(proxy).service(TcpConnector())) as http,
    ):
        assert await text(http, f"http://{HOST}:{port}/") == "GET /"


async def test_a_connection_that_nobody_fetches_is_closed_with_the_dialer() -> None:
    async with corner() as here, serve(Web().handle) as port:
        dialer = AiohttpDialer(here.connector)
        found = await dialer.resolve(HOST, port)
        again = await dialer.resolve(HOST, port)
        assert [each["port"] for each in (*found, *again)] == [1, 2]
        assert here.proxy.sessions == 2
        await dialer.close()
        await until(lambda: not here.proxy.sessions)
        with pytest.raises(OSError, match="used before"):
            dialer.make_socket((2, 1, 6, "", (found[0]["host"], 1)))


async def test_closing_gives_up_dials_of_addresses() -> None:
    async def stuck(uri: Uri) -> ByteStream:
        await anyio.sleep_forever()
        raise AssertionError

    dialer = AiohttpDialer(stuck)
    sock = dialer.make_socket((2, 1, 6, "", ("192.0.2.1", 80)))
    await asyncio.sleep(0.01)
    await dialer.close()
    assert await asyncio.get_running_loop().sock_recv(sock, 1) == b""
    sock.close()


def test_it_says_what_it_is() -> None:
    assert repr(AiohttpDialer(TcpConnector())).startswith("AiohttpDialer(TcpConnector(")
