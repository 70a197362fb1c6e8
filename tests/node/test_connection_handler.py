"""The stack that dials a peer, and that every dial and look-up goes through it."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import anyio
import pytest
import structlog

from tests.node.nodes import dial_and_run, proxy_to_peer
from ziggurat.layers import HttpConnectLayer, Isolated, Socks4Layer, Socks5Layer, TimeoutLayer, UserPass
from ziggurat.layers.testing import ScriptedProxy, Socks5Server, mock_connector, stream_pair
from ziggurat.node.address import NamedAddress, NetAddress
from ziggurat.node.connection_handler import ConnectionHandler, proxy_layer
from ziggurat.node.handshake.rejection import HandshakeError, HandshakeTimeout, Kind
from ziggurat.node.outbound.stream import OutboundStream
from ziggurat.node.peer import Tunnel
from ziggurat.node.testing import KaspaPeer, MemoryNetwork
from ziggurat.services import (
    ConnectError,
    ConnectTimeout,
    Http2Error,
    ProxyRefused,
    ResolveError,
    SocketConnector,
    Uri,
    dial,
)

pytestmark = pytest.mark.asyncio_only

PEER = Uri.parse("http://peer.example:16111")


def names(handler: ConnectionHandler) -> list[str]:
    stack = handler.stack()
    return [type(layer).__name__ for layer in (*stack.layers, stack.leaf)]


def test_a_peer_is_reached_directly_by_default() -> None:
    assert names(ConnectionHandler()) == [
        "LoggingLayer",
        "TimeoutLayer",
        "DirectLayer",
        "KeepAliveLayer",
        "SocketConnector",
    ]


async def test_a_direct_dial_is_no_oversight_of_the_environments_proxy(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The node obeys no proxy variable, and says so at start: the leaf need not."""

    async def no_connection(*args: object) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr("ziggurat.services.tcp._open", no_connection)
    monkeypatch.setattr("ziggurat.services.silently_direct._Note.said", False)
    monkeypatch.setenv("ALL_PROXY", "http://proxy.corp:3128")
    caplog.set_level("WARNING", "ziggurat.services")

    with pytest.raises(ConnectError):
        await ConnectionHandler().stack()(Uri.parse("http://192.0.2.1:16111"))

    assert not [record for record in caplog.records if record.name == "ziggurat.services"]


def test_a_connection_has_a_second_and_a_name_five_before_it() -> None:
    """node#8436: with one limit for both, a name that takes 1.5 s to look up was never reached."""
    leaf = ConnectionHandler().stack().leaf

    assert isinstance(leaf, SocketConnector)
    assert (leaf.tcp.timeout, leaf.tcp.dns_timeout, leaf.unix.timeout) == (1.0, 5.0, 1.0)


def test_the_proxy_is_above_keepalive_and_below_the_tunnel_limit() -> None:
    handler = ConnectionHandler(Socks5Layer("127.0.0.1:9050"))

    assert names(handler)[1:4] == ["TimeoutLayer", "Socks5Layer", "KeepAliveLayer"]
    limits = [layer for layer in handler.stack().layers if isinstance(layer, TimeoutLayer)]
    assert [(limit.name, limit.seconds) for limit in limits] == [("tunnel", 60.0)]


@pytest.mark.parametrize(
    ("proxy", "layers"),
    [
        ("http://proxy.corp:3128", ["HttpConnectLayer"]),
        ("https://proxy.corp", ["HttpConnectLayer", "TlsLayer"]),
        ("socks4://192.0.2.9", ["Socks4Layer"]),
        ("socks4a://proxy.corp", ["Socks4Layer"]),
        ("socks5://proxy.corp", ["Socks5Layer"]),
        ("unix:/run/tor/socks", ["Socks5Layer"]),
    ],
)
def test_a_proxy_of_any_kind_is_in_the_same_place(proxy: str, layers: list[str]) -> None:
    handler = ConnectionHandler(proxy_layer(Uri.parse(proxy)))

    assert names(handler)[2:] == [*layers, "KeepAliveLayer", "SocketConnector"]
    assert handler.via(PEER) == Uri.parse(proxy).authority


def test_a_proxy_is_given_the_credentials_that_its_kind_knows() -> None:
    user = UserPass("alice", "s3cret")
    http = proxy_layer(Uri.parse("http://proxy.corp:3128"), user)
    socks4 = proxy_layer(Uri.parse("socks4a://proxy.corp"), user)

    assert isinstance(http, HttpConnectLayer)
    assert http.auth == user
    assert isinstance(socks4, Socks4Layer)
    assert (socks4.user_id, socks4.remote_dns) == ("alice", True)


async def test_a_proxy_without_look_ups_is_not_asked_for_one() -> None:
    leaf, handle = mock_connector()
    handler = ConnectionHandler(proxy_layer(Uri.parse("http://proxy.corp:3128")), leaf)

    with pytest.raises(
        ProxyRefused, match=r"proxy\.resolve via proxy\.corp:3128 failed.*only a SOCKS5 proxy"
    ) as caught:
        await handler.resolve("seeder.example")

    assert caught.value.reply_code == 7
    assert not handle.requests


async def test_with_a_proxy_the_leaf_dials_only_the_proxy() -> None:
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


@pytest.mark.real_io
async def test_a_dial_that_an_outage_explains_is_logged_for_debugging_only() -> None:
    """``proxy.down`` tells it once."""
    structlog.configure()
    with structlog.testing.capture_logs() as events, pytest.raises(ConnectError):
        await ConnectionHandler(Socks5Layer("127.0.0.1:1")).channel(PEER)
    assert [(event["event"], event["log_level"]) for event in events] == [
        ("dial.started", "info"),
        ("dial.failed", "debug"),
    ]


async def test_the_proxys_reply_code_reaches_the_caller() -> None:
    proxy = ScriptedProxy(reply=0xF0)
    async with proxy:
        with pytest.raises(ProxyRefused) as caught:
            await ConnectionHandler(Socks5Layer("proxy:9050"), proxy.connector()).channel(PEER)

    assert caught.value.reply_code == 0xF0


# --- a peer ---------------------------------------------------------------------------------------------------------

KASPAD = NetAddress.parse("10.0.0.2:16611")


@asynccontextmanager
async def kaspad() -> AsyncIterator[tuple[MemoryNetwork, KaspaPeer]]:
    network, peer = MemoryNetwork(), KaspaPeer()
    async with peer.run(), peer.listen(network.host("10.0.0.2").listener(16611)):
        yield network, peer


async def first_message(stream: OutboundStream) -> str:
    message = await stream.receive()
    assert message is not None
    await stream.aclose()
    return str(message.WhichOneof("payload"))


async def test_a_peer_is_one_dial_from_the_first_byte_to_the_handshake() -> None:
    async with kaspad() as (network, _):
        handler = ConnectionHandler(leaf=network.host("10.0.0.1"))
        with dial(KASPAD.uri()) as current:
            assert await dial_and_run(handler, KASPAD, first_message) == "version"
        assert [entry.name for entry in current.ledger.phases] == ["tcp", "keepalive", "http2", "handshake"]
        starts = [entry.start for entry in current.ledger.phases]
        assert starts == sorted(starts)
        assert current.ledger.sent_to_target


async def test_connect_does_not_open_the_stream() -> None:
    async with kaspad() as (network, peer):
        stream = await ConnectionHandler(leaf=network.host("10.0.0.1")).connect(KASPAD)
        await anyio.sleep(1)
        assert peer.sessions == []
        await stream.open()
        await anyio.sleep(1)
        assert len(peer.sessions) == 1
        await stream.aclose()


@contextmanager
def logged() -> Iterator[list[tuple[str, str]]]:
    """Record the name and level of each event of a dial."""
    structlog.configure()
    logged_events: list[tuple[str, str]] = []
    with structlog.testing.capture_logs() as events:
        yield logged_events
    logged_events += [(str(e["event"]), str(e["log_level"])) for e in events if str(e["event"]).startswith("dial.")]


async def test_a_successful_dial_is_logged_once_as_connected_even_if_the_handshake_fails() -> None:
    async with kaspad() as (network, _):

        async def refuse(stream: OutboundStream) -> None:
            raise HandshakeError(Kind.NETWORK, "why", by_peer=True)

        with logged() as logged_events, pytest.raises(HandshakeError) as caught:
            await dial_and_run(ConnectionHandler(leaf=network.host("10.0.0.1")), KASPAD, refuse)
    assert logged_events == [("dial.started", "info"), ("dial.connected", "info")]
    assert (caught.value.phase, caught.value.target) == ("handshake", KASPAD.uri())
    assert caught.value.sent_to_target


async def test_a_peer_without_http2_is_logged_as_a_failed_dial_only() -> None:
    async def leaf(uri: Uri, /) -> object:
        near, far = stream_pair()
        await far.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        return near

    with logged() as logged_events, pytest.raises(Http2Error):
        await ConnectionHandler(leaf=leaf).connect(KASPAD)  # type: ignore[arg-type]
    assert logged_events == [("dial.started", "info"), ("dial.failed", "warning")]


async def test_a_peer_without_response_headers_has_ten_seconds() -> None:
    """The peer sends its SETTINGS and then nothing."""

    async def leaf(uri: Uri, /) -> object:
        near, far = stream_pair()
        await far.send(b"\0\0\0\4\0\0\0\0\0")
        return near

    started = anyio.current_time()
    with pytest.raises(HandshakeTimeout) as caught:
        await dial_and_run(ConnectionHandler(leaf=leaf), KASPAD, first_message)  # type: ignore[arg-type]
    assert (caught.value.name, caught.value.limit, caught.value.phase) == ("response headers", 10.0, "handshake")
    assert 10 <= anyio.current_time() - started < 13


async def test_the_user_agent_reveals_nothing_about_the_machine() -> None:
    agent = ConnectionHandler().endpoint(PEER).connection_options.user_agent
    assert agent.startswith("ziggurat/")
    assert "python" not in agent
    assert " " not in agent


def test_a_dial_to_an_onion_service_has_two_minutes() -> None:
    handler = ConnectionHandler(proxy_layer("127.0.0.1:9050"))
    [tunnel] = [
        layer for layer in handler.stack(Uri.parse("http://abc.onion:1")).layers if isinstance(layer, TimeoutLayer)
    ]
    assert (tunnel.name, tunnel.seconds) == ("tunnel", 120.0)


def test_each_dial_is_isolated_unless_there_are_credentials() -> None:
    assert proxy_layer("127.0.0.1:9050").auth == Isolated(required=False)
    assert proxy_layer("127.0.0.1:9050", UserPass("u", "p")).auth == UserPass("u", "p")
    assert proxy_layer("socks5://u:p@127.0.0.1:9050").auth == UserPass("u", "p")
    assert proxy_layer("127.0.0.1:9050").handshake_timeout == 10.0


async def test_each_dial_sends_different_credentials() -> None:
    proxy = ScriptedProxy(method=2, reply=5)
    async with proxy:
        handler = ConnectionHandler(proxy_layer("proxy:9050"), proxy.connector())
        for _ in range(2):
            with pytest.raises(ProxyRefused):
                await dial_and_run(handler, KASPAD, first_message)
    assert len({session.credentials for session in proxy.sessions}) == 2


# --- names ----------------------------------------------------------------------------------------------------------


async def test_without_a_proxy_the_resolver_is_called() -> None:
    async def resolver(host: str) -> list[str]:
        assert host == "seed.example"
        return ["192.0.2.1", "2001:db8::1"]

    assert await ConnectionHandler(resolver=resolver).resolve("seed.example") == ["192.0.2.1", "2001:db8::1"]


async def test_a_look_up_is_limited_to_ten_seconds() -> None:
    async def resolver(host: str) -> list[str]:
        await anyio.sleep(1000)
        return []

    with pytest.raises(ConnectTimeout) as caught:
        await ConnectionHandler(resolver=resolver).resolve("seed.example")
    assert caught.value.phase == "dns"


@pytest.mark.real_io
async def test_the_systems_resolver_is_the_default() -> None:
    assert "127.0.0.1" in await ConnectionHandler().resolve("localhost")
    with pytest.raises(ResolveError):
        await ConnectionHandler().resolve("x" * 70 + ".invalid")


async def test_with_a_proxy_only_the_proxy_resolves_names(monkeypatch: pytest.MonkeyPatch) -> None:
    def spy(*args: object, **kwargs: object) -> object:
        raise AssertionError(f"getaddrinfo was called with {args}")

    monkeypatch.setattr(socket, "getaddrinfo", spy)

    async def refuse(uri: Uri) -> object:
        raise ConnectionRefusedError

    proxy = Socks5Server(connector=refuse)  # type: ignore[arg-type]
    asked: list[Uri] = []

    async def leaf(uri: Uri, /) -> object:
        asked.append(uri)
        near, far = stream_pair()
        tasks.start_soon(proxy.handle, far)
        return near

    async with anyio.create_task_group() as tasks:
        handler = ConnectionHandler(proxy_layer("proxy:9050"), leaf)  # type: ignore[arg-type]
        with pytest.raises(ProxyRefused) as caught:
            await handler.resolve("seed.example")
        assert caught.value.reply_code == 7  # it supports only CONNECT
        with pytest.raises(ConnectError):
            await dial_and_run(handler, NamedAddress("seed.example", 16611), first_message)
        tasks.cancel_scope.cancel()
    assert {uri.host for uri in asked} == {"proxy"}


# --- tunnels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("proxy", "method", "port", "tunnel"),
    [
        (proxy_layer("h"), None, 40123, Tunnel("dial", 40123)),
        (proxy_layer("h"), 0, 40123, Tunnel("none", 40123)),
        (proxy_layer("h", UserPass("u", "p")), None, 40123, Tunnel("none", 40123)),
        (Socks5Layer("h", auth=Isolated(lambda uri: uri.host)), None, 40123, Tunnel("key", 40123)),
        (proxy_layer("unix:/run/tor/socks"), None, None, Tunnel("dial", None)),
    ],
    ids=["dial", "no authentication", "fixed", "key", "unix"],
)
async def test_a_stream_knows_how_its_tunnel_was_isolated_and_its_source_port(
    proxy: Socks5Layer, method: int | None, port: int | None, tunnel: Tunnel
) -> None:
    async with proxy_to_peer(method, ports=[port]) as (leaf, _):
        stream = await ConnectionHandler(proxy, leaf).connect(NamedAddress("peer.example", 16611))
        assert stream.tunnel == tunnel
        await stream.aclose()


async def test_a_direct_stream_has_no_tunnel() -> None:
    network, kaspad = MemoryNetwork(), KaspaPeer()
    async with kaspad.run(), kaspad.listen(network.host("10.0.0.2").listener(16611)) as address:
        stream = await ConnectionHandler(leaf=network.host("10.0.0.1")).connect(address)
        assert stream.tunnel is None
        await stream.aclose()
