"""Tor's RESOLVE command, against a scripted proxy."""

from __future__ import annotations

import pytest

from ziggurat.layers.testing import ScriptedProxy
from ziggurat.node.connection_handler import ConnectionHandler, proxy_layer
from ziggurat.services import ProxyProtocolError, ProxyRefused, ResolveError

pytestmark = pytest.mark.asyncio_only

RESOLVE = 0xF0


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::7"])
async def test_the_bound_address_is_the_result(address: str) -> None:
    proxy = ScriptedProxy(bound=(address, 0))
    async with proxy:
        found = await ConnectionHandler(proxy_layer("proxy:9050"), proxy.connector()).resolve("seed.example")
    assert found == [address]
    [session] = proxy.sessions
    assert session.request is not None
    assert (session.request.command, session.request.host, session.request.port) == (RESOLVE, "seed.example", 0)


async def test_credentials_are_sent() -> None:
    proxy = ScriptedProxy(method=2, bound=("192.0.2.7", 0))
    async with proxy:
        await ConnectionHandler(proxy_layer("proxy:9050"), proxy.connector()).resolve("seed.example")
    assert proxy.sessions[0].credentials is not None


@pytest.mark.parametrize("code", [4, 7])
async def test_a_refusal_carries_the_reply_code(code: int) -> None:
    proxy = ScriptedProxy(reply=code)
    async with proxy:
        with pytest.raises(ProxyRefused) as caught:
            await ConnectionHandler(proxy_layer("proxy:9050"), proxy.connector()).resolve("seed.example")
    assert (caught.value.reply_code, caught.value.phase) == (code, "proxy.resolve")


async def test_a_proxy_that_hangs_up_is_a_protocol_error() -> None:
    proxy = ScriptedProxy(cut=3)
    async with proxy:
        with pytest.raises(ProxyProtocolError, match="closed the connection"):
            await ConnectionHandler(proxy_layer("proxy:9050"), proxy.connector()).resolve("seed.example")


async def test_a_reply_without_an_ip_address_is_an_error() -> None:
    proxy = ScriptedProxy(bound=("some.name", 0))
    async with proxy:
        with pytest.raises(ResolveError, match="which is not an IP address"):
            await ConnectionHandler(proxy_layer("proxy:9050"), proxy.connector()).resolve("seed.example")
