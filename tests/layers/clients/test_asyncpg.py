"""The event loop that dials by a stack; tests/interop/test_postgresql.py has the real client and server."""

from __future__ import annotations

import asyncio

import pytest

from tests.layers.clients.servers import HOST, client_context, corner, echo, nothing_but, serve, server_context
from tests.layers.clients.test_attach import Client
from tests.layers.clients.test_start_tls import asked, upgrade
from ziggurat.layers.clients import connector_loop
from ziggurat.services import ConnectError, ProxyAuthError, SocketConnector, TlsError

pytestmark = [pytest.mark.asyncio_only, pytest.mark.real_io]


async def test_connections_are_dialled_by_the_stack() -> None:
    async with corner() as here, serve(echo) as port:
        with nothing_but(here, port):
            transport, client = await connector_loop(here.connector).create_connection(Client, HOST, port)
            transport.write(b"hello")
            assert await client.receive(5) == b"hello"
        transport.close()
        await client.lost.wait()
        assert here.targets == [HOST]


async def test_tls_is_started_as_asyncpg_does_it_and_verifies_the_target() -> None:
    async with corner() as here, serve(upgrade) as port:
        loop = connector_loop(here.connector)
        for name in (HOST, "localhost"):
            transport, client = await loop.create_connection(Client, name, port)
            await asked(transport, client)
            if name != HOST:
                with pytest.raises(TlsError, match="certificate of localhost was refused"):
                    await loop.start_tls(transport, client, client_context(), server_hostname=name)
                break
            secured = await loop.start_tls(transport, client, client_context(), server_hostname=name)
            assert secured is not None
            assert await client.receive(8) == b"welcome "
            secured.close()
            await client.lost.wait()


async def test_tls_can_come_first() -> None:
    async with corner() as here, serve(echo, server_context()) as port:
        loop = connector_loop(here.connector)
        transport, client = await loop.create_connection(Client, HOST, port, ssl=client_context())
        transport.write(b"hello")
        assert await client.receive(5) == b"hello"
        transport.close()
        await client.lost.wait()
        with pytest.raises(TlsError, match=r"certificate of target.example was refused"):
            await loop.create_connection(Client, HOST, port, ssl=True)  # which does not trust the tests' authority
        with pytest.raises(TlsError, match=r"certificate of other.example was refused"):
            await loop.create_connection(Client, HOST, port, ssl=client_context(), server_hostname="other.example")


async def test_a_failed_dial_is_a_connect_error() -> None:
    async with corner() as here:
        with pytest.raises(ProxyAuthError):
            await connector_loop(here.stack("wrong")).create_connection(Client, HOST, 5432)


async def test_a_unix_socket_is_dialled_by_the_stack_too() -> None:
    with pytest.raises(ConnectError, match="unix:/nowhere"):
        await connector_loop(SocketConnector()).create_unix_connection(Client, "/nowhere/.s.PGSQL.5432")


async def test_everything_else_is_the_running_loops() -> None:
    running, loop = asyncio.get_running_loop(), connector_loop(SocketConnector())

    assert loop.create_future().get_loop() is running
    assert loop.get_debug() == running.get_debug()
    assert loop.call_soon == running.call_soon
    assert await loop.create_task(asyncio.sleep(0, "done")) == "done"
    assert "dialling by SocketConnector(" in repr(loop)


def test_it_needs_a_running_loop() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        connector_loop(SocketConnector())
