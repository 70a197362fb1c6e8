"""TorResolver: names and addresses, one look-up each, and no resolver for a direct dial."""

from __future__ import annotations

import pytest

from ziggurat.layers import TorResolver
from ziggurat.layers.testing import ScriptedProxy, no_leaks
from ziggurat.services import ConnectTimeout, OnionAddress, ProxyRefused, ResolveError, TcpConnector, Uri


async def test_a_name_has_an_address_and_an_address_a_name() -> None:
    async with ScriptedProxy(method=2, bound=("192.0.2.7", 0)) as proxy:
        assert await TorResolver(connector=proxy.connector()).resolve("Target.example") == "192.0.2.7"
    async with ScriptedProxy(method=2, bound=("target.example", 0)) as proxy:
        assert await TorResolver(connector=proxy.connector()).reverse("192.0.2.7") == "target.example"

    assert proxy.sessions[0].uri == Uri("socks5", "127.0.0.1", 9050)


async def test_each_look_up_is_isolated_or_those_of_one_key_are_not() -> None:
    async with ScriptedProxy(method=2, bound=("192.0.2.7", 0)) as proxy:
        each = TorResolver(connector=proxy.connector())
        keyed = TorResolver(connector=proxy.connector(), isolate=lambda uri: uri.host[0])
        for resolver, name in [(each, "a.example"), (each, "a.example"), (keyed, "b.example"), (keyed, "bb.example")]:
            await resolver.resolve(name)

    one, other, third, fourth = (session.credentials for session in proxy.sessions)
    assert one != other
    assert third == fourth


async def test_an_onion_service_is_asked_of_nobody() -> None:
    async with ScriptedProxy(method=2) as proxy:
        with pytest.raises(ResolveError, match="onion services have no address"):
            await TorResolver(connector=proxy.connector()).resolve(str(OnionAddress(bytes(32))))

    assert proxy.sessions == []


async def test_a_name_without_an_address_is_refused_by_the_exit() -> None:
    async with ScriptedProxy(method=2, reply=4) as proxy:
        with pytest.raises(ProxyRefused) as caught:
            await TorResolver(connector=proxy.connector()).resolve("target.invalid")

    assert (caught.value.reply_code, caught.value.phase) == (4, "proxy.resolve")


async def test_a_look_up_has_a_limit() -> None:
    async with ScriptedProxy(method=2, cut=4, cut_with="stall") as proxy:
        with pytest.raises(ConnectTimeout, match="the limit 'TorResolver timeout' of 10 s") as caught:
            await TorResolver(connector=proxy.connector()).resolve("target.example")

    assert caught.value.phase == "proxy.resolve"


@pytest.mark.real_io
async def test_by_default_it_connects_to_tors_port_and_nowhere_else() -> None:
    async with ScriptedProxy(method=2, bound=("192.0.2.7", 0)).serve() as proxy:
        with no_leaks([proxy]):
            assert await TorResolver(proxy).resolve("target.example") == "192.0.2.7"


@pytest.mark.parametrize("text", ["bad name", ""])
async def test_what_is_no_name_or_no_address_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"bad host|address"):
        await TorResolver().resolve(text)
    with pytest.raises(ValueError, match="address"):
        await TorResolver().reverse(text)


def test_bad_arguments_are_named() -> None:
    with pytest.raises(TypeError, match="connector must be an async function"):
        TorResolver(connector=None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="isolate must be"):
        TorResolver(isolate="peer")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="timeout must be"):
        TorResolver(timeout=0.0)


def test_it_is_no_resolver_for_a_direct_dial() -> None:
    with pytest.raises(TypeError):
        TcpConnector(resolver=TorResolver())  # type: ignore[call-arg]
