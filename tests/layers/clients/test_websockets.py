"""websockets over a stack, through a real proxy to its own server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus

import anyio
import pytest
from anyio.abc import ByteStream
from websockets.asyncio.client import connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Request, Response

from tests.layers.clients.servers import HOST, client_context, corner, server_context, until
from tests.layers.clients.servers import echo as echo_bytes
from tests.layers.clients.servers import serve as serve_tls
from ziggurat.layers import ServiceBuilder
from ziggurat.layers.clients import WebsocketConnect
from ziggurat.services import Backoff, ConnectError, ConnectTimeout, ProxyAuthError, TlsError, Uri

pytestmark = [pytest.mark.asyncio_only, pytest.mark.real_io]

SOON = Backoff(0.001, maximum=0.002)


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


def judge(connection: ServerConnection, request: Request) -> Response | None:
    if request.path == "/teapot":
        return connection.respond(HTTPStatus.IM_A_TEAPOT, "short and stout\n")
    if request.path == "/moved":
        response = connection.respond(HTTPStatus.FOUND, "")
        response.headers["Location"] = "/"
        return response
    return None


@asynccontextmanager
async def server(*, secured: bool = False) -> AsyncGenerator[int]:
    context = server_context() if secured else None
    listening: Server
    async with serve(echo, "127.0.0.1", 0, ssl=context, process_request=judge) as listening:
        yield next(iter(listening.sockets)).getsockname()[1]


async def test_a_connection_goes_through_the_proxy() -> None:
    async with (
        corner() as here,
        server() as port,
        WebsocketConnect(here.connector, f"ws://{HOST}:{port}/") as websocket,
    ):
        await websocket.send("hello")
        assert await websocket.recv() == "hello"
        assert here.targets == [HOST]


async def test_tls_is_websockets_own_and_verifies_the_target() -> None:
    trusting = partial(connect, ssl=client_context(), max_size=1000)
    async with corner() as here, server(secured=True) as port:
        websocket = await WebsocketConnect(here.connector, f"wss://{HOST}:{port}/", connect=trusting)
        await websocket.send("hello")
        assert await websocket.recv() == "hello"
        await websocket.close()
    async with corner() as here, serve_tls(echo_bytes, server_context()) as port:
        with pytest.raises(OSError, match="certificate verify failed"):
            await WebsocketConnect(here.connector, f"wss://localhost:{port}/", connect=trusting)
        await until(lambda: not here.proxy.sessions)


async def test_a_tls_layer_for_the_target_is_one_too_many() -> None:
    async with corner() as here, serve_tls(echo_bytes, server_context()) as port:
        stack = ServiceBuilder().tls(client_context(), alpn=()).service(here.connector)
        with pytest.raises(TlsError, match="leave out the tls layer above the proxy"):
            async for _ in WebsocketConnect(stack, f"wss://{HOST}:{port}/", backoff=SOON):
                pass
        await until(lambda: not here.proxy.sessions)


async def test_each_reconnect_dials_anew() -> None:
    """A given socket serves for one connection; websockets' own loop would use it twice."""
    async with corner() as here, server() as port:
        turns = 0
        async for websocket in WebsocketConnect(here.connector, f"ws://{HOST}:{port}/", backoff=SOON):
            turns += 1
            await websocket.send("hello")
            assert await websocket.recv() == "hello"
            if turns == 3:
                break
            here.proxy.requests.clear()
            try:
                websocket.transport.abort()
                await websocket.recv()
            except ConnectionClosed:
                continue
        await websocket.close()
        assert here.targets == [HOST]


async def test_a_dial_that_may_work_later_is_repeated() -> None:
    dials = 0

    async with corner() as here, server() as port:

        async def flaky(uri: Uri) -> ByteStream:
            nonlocal dials
            dials += 1
            if dials < 3:
                raise ConnectError("not yet")
            return await here.connector(uri)

        async for websocket in WebsocketConnect(flaky, f"ws://{HOST}:{port}/", backoff=SOON):
            await websocket.close()
            break
    assert dials == 3


async def test_a_dial_that_cannot_work_ends_the_loop() -> None:
    """websockets takes every OSError for transient, and would present a wrong password for ever."""
    async with corner() as here:
        with pytest.raises(ProxyAuthError):
            async for _ in WebsocketConnect(here.stack("wrong"), f"ws://{HOST}/", backoff=SOON):
                pass


async def test_websockets_own_policy_decides_about_the_rest() -> None:
    class Enough(Exception):
        pass

    def give_up(error: Exception) -> Exception | None:
        return Enough(str(error))

    async with corner() as here, server() as port:
        with pytest.raises(InvalidStatus):
            async for _ in WebsocketConnect(here.connector, f"ws://{HOST}:{port}/teapot"):
                pass
        stubborn = partial(connect, process_exception=give_up)
        with pytest.raises(Enough):
            async for _ in WebsocketConnect(here.connector, f"ws://{HOST}:{port}/teapot", connect=stubborn):
                pass


async def test_a_redirect_is_not_followed_and_says_so() -> None:
    async with corner() as here, server() as port:
        with pytest.raises(ValueError, match="cannot follow redirect"):
            await WebsocketConnect(here.connector, f"ws://{HOST}:{port}/moved")


async def test_the_environments_proxy_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "socks_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with corner() as here, server() as port, WebsocketConnect(here.connector, f"ws://{HOST}:{port}/"):
        assert here.targets == [HOST]


async def test_open_timeout_covers_the_dial_and_the_handshake() -> None:
    async def stuck(uri: Uri) -> ByteStream:
        await anyio.sleep_forever()
        raise AssertionError

    with pytest.raises(ConnectTimeout, match="'open_timeout'"):
        await WebsocketConnect(stuck, f"ws://{HOST}/", open_timeout=0.01)

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    listening = await asyncio.start_server(mute, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    async with corner() as here, listening:
        with pytest.raises(TimeoutError, match="opening handshake"):
            await WebsocketConnect(here.connector, f"ws://{HOST}:{port}/", open_timeout=1.0)
        await until(lambda: not here.proxy.sessions)


async def test_one_at_a_time() -> None:
    async with corner() as here, server() as port:
        both = WebsocketConnect(here.connector, f"ws://{HOST}:{port}/")
        async with both:
            with pytest.raises(RuntimeError, match="in use"):
                await both.__aenter__()
        async with both:
            pass


@pytest.mark.parametrize("uri", ["http://host", "ws://", "host:80"])
def test_another_uri_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match="bad websocket URI"):
        WebsocketConnect(None, uri)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="open_timeout"):
        WebsocketConnect(None, "ws://a", open_timeout=-1)  # type: ignore[arg-type]


def test_the_default_ports() -> None:
    for uri, port in (("ws://a", 80), ("wss://[::1]/x?y", 443), ("ws://a:8080", 8080)):
        assert f":{port}')" in repr(WebsocketConnect(None, uri))  # type: ignore[arg-type]
