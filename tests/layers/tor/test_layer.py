"""TorLayer: a circuit for each dial, or for each key; names verified, literals as text, limits by kind of target."""

from __future__ import annotations

import pytest

from ziggurat.layers import Isolated, ServiceBuilder, Socks5Layer, TorLayer, TorReply
from ziggurat.layers.testing import ScriptedProxy, check_layer
from ziggurat.services import ConnectTimeout, OnionAddress, ProxyRefused, ResolveError, Uri

ONION = Uri("http", str(OnionAddress(bytes(32))), 80)
EXIT = Uri("http", "target.example", 80)


def tor(**options: object) -> ScriptedProxy:
    return ScriptedProxy(method=2, **options)  # type: ignore[arg-type]


async def dial_all(layer: TorLayer, *targets: Uri) -> list[object]:
    """Dial the targets through one stack, and return the credentials of each dial."""
    async with tor() as proxy:
        connector = layer.layer(proxy.connector())
        for target in targets:
            await (await connector(target)).aclose()
    return [session.credentials for session in proxy.sessions]


@pytest.mark.parametrize("target", [ONION, EXIT], ids=["onion", "exit"])
async def test_it_keeps_the_contracts_of_a_layer(target: Uri) -> None:
    await check_layer(TorLayer(), uri=target, peer=ScriptedProxy(method=2).handle, transparent=True)


async def test_it_dials_tors_port_and_sends_the_name() -> None:
    async with tor() as proxy:
        await (await TorLayer().layer(proxy.connector())(ONION)).aclose()

    [session] = proxy.sessions
    assert session.uri == Uri("socks5", "127.0.0.1", 9050)
    assert session.request is not None
    assert (session.request.host, session.request.port) == (ONION.host, 80)


async def test_an_address_is_sent_as_text() -> None:
    async with tor() as proxy:
        await (await TorLayer().layer(proxy.connector())(Uri("http", "2001:db8::7", 80))).aclose()

    request = proxy.sessions[0].chunks[-1]
    assert request[3:5] == b"\x03\x0b"  # a name of eleven characters
    assert b"2001:db8::7" in request


async def test_each_dial_has_its_own_circuit() -> None:
    used = await dial_all(TorLayer(), EXIT, EXIT, ONION, ONION)
    assert len(set(used)) == 4


async def test_dials_of_one_key_share_a_circuit_whatever_their_target() -> None:
    first, second, third, fourth = await dial_all(
        TorLayer(isolate=lambda uri: str(uri.port)), EXIT, ONION, Uri("http", EXIT.host, 81), EXIT
    )
    assert first == second == fourth
    assert third != first


async def test_without_isolation_no_credentials_are_offered() -> None:
    async with ScriptedProxy() as proxy:
        await (await TorLayer(isolate="none").layer(proxy.connector())(EXIT)).aclose()

    assert proxy.sessions[0].methods == (0,)


async def test_a_mistyped_onion_is_refused_before_anything_is_dialled() -> None:
    target = Uri("http", "a" * 56 + ".onion", 80)
    async with tor() as proxy:
        with pytest.raises(ResolveError, match="mistyped; check the address") as caught:
            await TorLayer().layer(proxy.connector())(target)

    assert proxy.sessions == []
    assert not caught.value.transient
    assert caught.value.ledger is not None
    assert caught.value.ledger.phases == []


@pytest.mark.parametrize(("target", "limit"), [(EXIT, 60.0), (ONION, 120.0)], ids=["exit", "onion"])
async def test_an_onion_service_gets_more_time(target: Uri, limit: float) -> None:
    async with tor(cut=4, cut_with="stall") as proxy:
        with pytest.raises(ConnectTimeout) as caught:
            await TorLayer(handshake_timeout=None).layer(proxy.connector())(target)

    assert (caught.value.phase, caught.value.limit) == ("proxy.connect", limit)


async def test_tors_codes_arrive() -> None:
    async with tor(reply=0xF0) as proxy:
        with pytest.raises(ProxyRefused) as caught:
            await TorLayer().layer(proxy.connector())(ONION)

    assert caught.value.reply_code == 0xF0


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        (0x01, TorReply.GENERAL_FAILURE.hint),
        (0xF4, TorReply.CLIENT_AUTH_MISSING.hint),
        (0x77, None),  # none of Tor's
    ],
)
async def test_an_error_has_the_hint_for_tor(code: int, hint: str | None) -> None:
    for target in (EXIT, ONION):
        async with tor(reply=code) as proxy:
            with pytest.raises(ProxyRefused) as caught:
                await TorLayer().layer(proxy.connector())(target)

        assert caught.value.hint == hint


async def test_what_a_proxy_before_tor_replies_has_its_own_hint() -> None:
    async with tor(reply=0x01) as proxy:
        through = Socks5Layer("192.0.2.1:1080", auth=Isolated()).layer(proxy.connector())
        with pytest.raises(ProxyRefused) as caught:
            await TorLayer().layer(through)(EXIT)

    assert caught.value.via == "192.0.2.1:1080"
    assert caught.value.hint not in (None, TorReply.GENERAL_FAILURE.hint)


def test_the_builder_passes_its_arguments_on() -> None:
    builder = ServiceBuilder().tor("unix:/run/tor/socks", isolate="none", timeout=5.0, onion_timeout=None)

    assert builder.layers == (TorLayer("unix:/run/tor/socks", "none", 5.0, None),)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"isolate": "peer"}, ValueError, "isolate must be 'dial', 'none' or a function"),
        ({"isolate": None}, ValueError, "isolate must be"),
        ({"socks": "socks5://alice:s3cret@127.0.0.1"}, ValueError, "takes no credentials"),
        ({"socks": "http://127.0.0.1"}, ValueError, "bad proxy scheme 'http'"),
        ({"socks": Uri("http", "127.0.0.1", 9050)}, ValueError, "bad proxy scheme"),
        ({"timeout": 0}, ValueError, "timeout must be a positive number"),
        ({"onion_timeout": "2"}, TypeError, "onion_timeout must be"),
        ({"handshake_timeout": -1}, ValueError, "handshake_timeout must be"),
    ],
)
def test_bad_arguments_are_named(options: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        TorLayer(**options)  # type: ignore[arg-type]
