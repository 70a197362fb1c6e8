"""The adapters of layers/clients under uvloop, whose transports and sockets differ from asyncio's."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import aiohttp
import httpx
import pytest
from anyio.abc import ByteStream
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_websockets

from tests.layers.clients.servers import HOST, Web, client_context, corner, echo, serve, server_context, settle
from tests.layers.clients.test_attach import Client
from tests.layers.clients.test_start_tls import asked, upgrade
from ziggurat.layers.clients import AiohttpDialer, HttpxTransport, WebsocketConnect, as_socket, connector_loop
from ziggurat.services import TransportStream, Uri

uvloop = pytest.importorskip("uvloop", reason="uvloop is not installed (pip install '.[interop]')")

pytestmark = [pytest.mark.real_io, pytest.mark.asyncio_only]


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": uvloop.new_event_loop, "debug": True}


async def ask(sock: socket.socket) -> bytes:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, b"hello")
    answer = await loop.sock_recv(sock, 99)
    sock.close()
    await settle()
    return answer


async def test_a_connections_own_socket() -> None:
    async with corner() as here, serve(echo) as port:
        assert isinstance(asyncio.get_running_loop(), uvloop.Loop)
        sock = await as_socket(await here.connector(Uri("tcp", HOST, port)))
        assert sock.family == socket.AF_INET
        assert await ask(sock) == b"hello"


async def test_a_relayed_socket() -> None:
    async def greet(stream: ByteStream) -> None:
        await stream.send(b"220 ")
        await echo(stream)

    async with corner() as here, serve(greet) as port:
        stream = await here.connector(Uri("tcp", HOST, port))
        assert isinstance(stream, TransportStream)
        while not stream.readable:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        sock = await as_socket(stream)
        assert sock.family == socket.AF_UNIX
        assert (await ask(sock)).startswith(b"220 ")


async def test_tls_inside_a_connection() -> None:
    """uvloop's own start_tls takes uvloop's own transports only."""
    async with corner() as here, serve(upgrade) as port:
        loop = connector_loop(here.connector)
        transport, client = await loop.create_connection(Client, HOST, port)
        await asked(transport, client)
        secured = await loop.start_tls(transport, client, client_context(), server_hostname=HOST)
        assert secured is not None
        assert await client.receive(8) == b"welcome "
        secured.close()
        await client.lost.wait()


async def test_httpx() -> None:
    async with corner() as here, serve(Web().handle, server_context()) as port:
        transport = HttpxTransport(here.connector, verify=client_context())
        async with httpx.AsyncClient(transport=transport) as http:
            for target in "ab":
                assert (await http.get(f"https://{HOST}:{port}/{target}")).text == f"GET /{target}"


async def test_aiohttp() -> None:
    async with corner() as here, serve(Web().handle, server_context()) as port:
        dialer = AiohttpDialer(here.connector)
        tcp = aiohttp.TCPConnector(
            resolver=dialer, socket_factory=dialer.make_socket, use_dns_cache=False, ssl=client_context()
        )
        async with aiohttp.ClientSession(connector=tcp) as http:
            for host in (HOST, "127.0.0.1"):
                async with http.get(f"https://{host}:{port}/") as response:
                    assert await response.text() == "GET /"
        await dialer.close()
        await settle()


async def test_websockets() -> None:
    async def repeat(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async with corner() as here, serve_websockets(repeat, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with WebsocketConnect(here.connector, f"ws://{HOST}:{port}/") as websocket:
            await websocket.send("hello")
            assert await websocket.recv() == "hello"
