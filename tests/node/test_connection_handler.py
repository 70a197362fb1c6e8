"""How a peer is reached: the stack, and that everything goes through it."""

from __future__ import annotations

import anyio
import pytest

from ziggurat.layers import Socks5Layer, TimeoutLayer
from ziggurat.layers.testing import ScriptedProxy, mock_connector
from ziggurat.node.connection_handler import ConnectionHandler
from ziggurat.services import ConnectError, ConnectTimeout, ProxyRefused, SocketConnector, Uri

pytestmark = pytest.mark.asyncio_only

PEER = Uri.parse("http://peer.example:16111")


def names(handler: ConnectionHandler) -> list[str]:
    stack = handler.stack()
    return [type(layer).__name__ for layer in (*stack.layers, stack.leaf)]


def test_a_peer_is_reached_directly_by_default() -> None:
    assert names(ConnectionHandler()) == [
        "LoggingLayer",
        "TimeoutLayer",
        "KeepAliveLayer",
        "TimeoutLayer",
        "SocketConnector",
    ]
    assert isinstance(ConnectionHandler().stack().leaf, SocketConnector)


def test_a_proxy_is_above_keepalive_and_below_the_limit_of_the_whole() -> None:
    handler = ConnectionHandler(Socks5Layer("127.0.0.1:9050"))

    assert names(handler)[1:4] == ["TimeoutLayer", "Socks5Layer", "KeepAliveLayer"]
    limits = [layer for layer in handler.stack().layers if isinstance(layer, TimeoutLayer)]
    assert [(limit.name, limit.seconds) for limit in limits] == [("tunnel", 60.0), ("reach proxy", 1.0)]


async def test_the_leaf_is_asked_for_nothing_but_the_proxy() -> None:
    leaf, handle = mock_connector()
    handler = ConnectionHandler(Socks5Layer("proxy:9050"), leaf)

    async def refuse() -> None:
        request = await handle.next()
        assert request.uri == Uri.parse("socks5://proxy:9050")
        request.fail(ConnectError("no"))

    async with anyio.create_task_group() as group:
        group.start_soon(refuse)
        with pytest.raises(ConnectError):
            await handler.channel(PEER)
    assert len(handle.requests) == 1


async def test_a_proxy_that_is_not_there_costs_a_second_and_is_named() -> None:
    leaf, handle = mock_connector()
    with pytest.raises(ConnectTimeout) as caught:
        await ConnectionHandler(Socks5Layer("proxy:9050"), leaf).channel(PEER)

    assert (caught.value.name, caught.value.limit) == ("reach proxy", 1.0)
    assert caught.value.target == PEER
    assert not handle.open_streams


async def test_the_proxys_word_reaches_the_caller() -> None:
    proxy = ScriptedProxy(reply=0xF0)
    async with proxy:
        with pytest.raises(ProxyRefused) as caught:
            await ConnectionHandler(Socks5Layer("proxy:9050"), proxy.connector()).channel(PEER)

    assert caught.value.reply_code == 0xF0
