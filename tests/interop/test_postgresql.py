"""asyncpg on a stack, through real proxies to a real PostgreSQL."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import ByteStream

from tests.interop.postgresql import PASSWORD, PORT, USER, postgresql
from tests.layers.clients.servers import HOST, client_context, until
from ziggurat.layers import ConcurrencyLimitLayer, Limiter, ServiceBuilder, UserPass
from ziggurat.layers.clients import connector_loop
from ziggurat.layers.testing import Socks5Server
from ziggurat.services import Connector, ProxyAuthError, ProxyRefused, TcpConnector, TlsError, Uri

asyncpg = pytest.importorskip("asyncpg", reason="asyncpg is not installed (pip install '.[interop]')")

pytestmark = [pytest.mark.real_io, pytest.mark.asyncio_only]

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def server(new_folder: Callable[[str], Path]) -> Iterator[str]:
    with postgresql(new_folder("postgresql")) as address:
        yield address


@asynccontextmanager
async def proxy(server: str) -> AsyncIterator[tuple[Socks5Server, Uri]]:
    """Run a SOCKS5 proxy with a password, for which `HOST` is the server."""

    async def reach(uri: Uri) -> ByteStream:
        return await anyio.connect_tcp(server if uri.host in (HOST, "other.example") else uri.host, uri.port)

    running = Socks5Server({"alice": "s3cret"}, connector=reach)
    async with running.serve() as uri:
        yield running, uri


def stack(uri: Uri, password: str = "s3cret") -> Connector:
    return ServiceBuilder().socks5(uri, auth=UserPass("alice", password)).service(TcpConnector())


async def connect(connector: Connector, host: str = HOST, **settings: Any) -> Any:
    """Connect by asyncpg. Without ``ssl`` it asks for TLS, takes a no, and verifies nothing (``prefer``)."""
    arguments = {"user": USER, "password": PASSWORD, "database": "postgres", "timeout": 30.0} | settings
    return await asyncpg.connect(host=host, port=PORT, loop=connector_loop(connector), **arguments)


async def secured(connection: Any) -> bool:
    row: bool = await connection.fetchval("select ssl from pg_stat_ssl where pid = pg_backend_pid()")
    return row


@pytest.mark.parametrize("which", ["microsocks", "dante", "ssh"])
async def test_queries_through_each_proxy(which: str, server: str, request: pytest.FixtureRequest) -> None:
    connector = ServiceBuilder().socks5(request.getfixturevalue(which)).service(TcpConnector())
    connection = await connect(connector, server)
    assert await connection.fetchval("select sum(n) from generate_series(1, 1000) n") == 500500
    assert await secured(connection)
    await connection.close()


async def test_tls_verifies_the_name_that_went_to_the_proxy(server: str) -> None:
    """asyncpg #1136: no way to a database behind SOCKS5 but a tunnel, whose name is localhost."""
    async with proxy(server) as (running, uri):
        connection = await connect(stack(uri), ssl=client_context())
        assert await secured(connection)
        await connection.close()
        assert [request.host for request in running.requests] == [HOST]
        with pytest.raises(TlsError, match=r"certificate of other.example was refused"):
            await connect(stack(uri), "other.example", ssl=client_context())


async def test_without_tls(server: str) -> None:
    async with proxy(server) as (_, uri):
        connection = await connect(stack(uri), ssl=False)
        assert not await secured(connection)
        await connection.close()


async def test_a_large_result_and_a_large_argument(server: str) -> None:
    async with proxy(server) as (_, uri):
        for context in (False, client_context()):
            connection = await connect(stack(uri), ssl=context)
            data = bytes(range(256)) * (8 * MIB // 256)
            assert await connection.fetchval("select $1::bytea", data) == data
            await connection.close()


async def test_a_query_is_cancelled_by_a_connection_through_the_proxy(server: str) -> None:
    async with proxy(server) as (running, uri):
        for context in (False, client_context()):
            connection = await connect(stack(uri), ssl=context)
            running.requests.clear()
            with pytest.raises(TimeoutError):
                await connection.fetch("select pg_sleep(600)", timeout=0.2)
            assert await connection.fetchval("select 7") == 7
            assert [request.host for request in running.requests] == [HOST]
            await connection.close()


async def test_a_pool(server: str) -> None:
    async with proxy(server) as (running, uri):
        async with asyncpg.create_pool(
            host=HOST,
            port=PORT,
            user=USER,
            password=PASSWORD,
            database="postgres",
            ssl=client_context(),
            min_size=4,
            max_size=4,
            loop=connector_loop(stack(uri)),
        ) as pool:
            answers = await asyncio.gather(*(pool.fetchval("select $1::int", n) for n in range(40)))
            assert answers == list(range(40))
            assert running.sessions == 4
        with anyio.fail_after(10.0):
            await until(lambda: not running.sessions)


@pytest.mark.parametrize("secure", [False, True])
async def test_a_limit_on_open_connections_learns_of_each_end(server: str, secure: bool) -> None:
    limit = ConcurrencyLimitLayer(Limiter(1), hold="stream")
    async with proxy(server) as (_, uri):
        connector = ServiceBuilder().layer(limit).service(stack(uri))
        for _ in range(3):
            connection = await connect(connector, ssl=client_context() if secure else False)
            assert await connection.fetchval("select 1") == 1
            await connection.close()


async def test_the_errors_are_ours(server: str) -> None:
    async with proxy(server) as (_, uri):
        with pytest.raises(ProxyAuthError, match="check user name and password"):
            await connect(stack(uri, "wrong"), ssl=client_context())
        with pytest.raises(ProxyRefused, match="connection refused"):
            await connect(stack(uri), "127.0.0.1", ssl=client_context())
        with pytest.raises(asyncpg.InvalidPasswordError):
            await connect(stack(uri), password="wrong")
        unknown = ssl.create_default_context()
        with pytest.raises(TlsError, match="to trust its authority"):
            await connect(stack(uri), ssl=unknown)


async def test_a_lost_connection_is_told_to_asyncpg(server: str) -> None:
    async with proxy(server) as (_, uri):
        connection = await connect(stack(uri))
        other = await connect(stack(uri))
        await other.execute(f"select pg_terminate_backend({connection.get_server_pid()})")
        with anyio.fail_after(10.0):
            await until(connection.is_closed)
        with pytest.raises(asyncpg.InterfaceError, match="connection is closed"):
            await connection.fetchval("select 1")
        await other.close()
