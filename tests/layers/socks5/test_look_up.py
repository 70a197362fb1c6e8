"""Tor's RESOLVE and RESOLVE_PTR, against a scripted proxy."""

from __future__ import annotations

from typing import TypeVar

import pytest

from ziggurat.layers.socks5.auth import Credentials
from ziggurat.layers.socks5.look_up import RESOLVE, RESOLVE_PTR, resolve_address, resolve_name
from ziggurat.layers.testing import ScriptedProxy
from ziggurat.services import ProxyProtocolError, ProxyRefused, ResolveError, Uri, dial

E = TypeVar("E", bound=BaseException)
PROXY = Uri("socks5", "proxy.example", 9050)


async def resolve(proxy: ScriptedProxy, name: str = "seed.example", credentials: Credentials | None = None) -> str:
    async with proxy:
        with dial(Uri("tcp", name, 1)):
            return await resolve_name(proxy.connector(), PROXY, name, credentials)


async def refused(proxy: ScriptedProxy, kind: type[E]) -> E:
    async with proxy:
        with pytest.raises(kind) as caught, dial(Uri("tcp", "seed.example", 1)):
            await resolve_name(proxy.connector(), PROXY, "seed.example", None)
    return caught.value


async def reverse(proxy: ScriptedProxy, address: str) -> str:
    async with proxy:
        with dial(Uri("tcp", address, 1)):
            return await resolve_address(proxy.connector(), PROXY, address, None)


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::7"])
async def test_the_bound_address_is_the_result(address: str) -> None:
    proxy = ScriptedProxy(bound=(address, 0))

    assert await resolve(proxy) == address

    [session] = proxy.sessions
    assert session.uri == PROXY
    assert session.request is not None
    assert (session.request.command, session.request.host, session.request.port) == (RESOLVE, "seed.example", 0)


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::7"])
async def test_the_bound_name_is_the_result_of_a_reverse_look_up(address: str) -> None:
    proxy = ScriptedProxy(bound=("seed.example.", 0))

    assert await reverse(proxy, address) == "seed.example"

    [session] = proxy.sessions
    assert session.request is not None
    assert (session.request.command, session.request.host, session.request.port) == (RESOLVE_PTR, address, 0)


async def test_credentials_are_sent() -> None:
    proxy = ScriptedProxy(method=2, bound=("192.0.2.7", 0))

    await resolve(proxy, credentials=Credentials(b"alice", b"s3cret"))

    assert proxy.sessions[0].credentials is not None


@pytest.mark.parametrize("code", [4, 7])
async def test_a_refusal_carries_the_reply_code(code: int) -> None:
    error = await refused(ScriptedProxy(reply=code), ProxyRefused)

    assert (error.reply_code, error.phase) == (code, "proxy.resolve")


async def test_a_proxy_that_hangs_up_is_a_protocol_error() -> None:
    assert "closed the connection" in str(await refused(ScriptedProxy(cut=3), ProxyProtocolError))


async def test_an_answer_that_is_no_address_is_an_error() -> None:
    error = await refused(ScriptedProxy(bound=("some.name", 0)), ResolveError)

    assert "'some.name', which is not an IP address" in str(error)


async def test_an_answer_that_is_no_name_is_an_error() -> None:
    async with ScriptedProxy(bound=("bad name", 0)) as proxy:
        with pytest.raises(ResolveError, match="which is not a name"), dial(Uri("tcp", "192.0.2.7", 1)):
            await resolve_address(proxy.connector(), PROXY, "192.0.2.7", None)
