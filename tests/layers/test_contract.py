"""All of our layers keep the contracts of a layer, alone and in a stack, on both backends."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

import pytest
import trustme
from anyio.abc import ByteStream
from anyio.lowlevel import checkpoint
from anyio.streams.tls import TLSStream

from ziggurat.layers import (
    Breaker,
    ConcurrencyLimitLayer,
    HttpConnectLayer,
    Identity,
    Isolated,
    KeepAliveLayer,
    KeyedLimiter,
    Limiter,
    LoggingLayer,
    NoDelayLayer,
    RetryBudget,
    RetryPolicy,
    ServiceBuilder,
    Socks5Layer,
    TimeoutLayer,
    TlsLayer,
    TokenBucket,
    UserPass,
)
from ziggurat.layers.layer import Layer, Stack
from ziggurat.layers.testing import HttpReply, ScriptedHttpProxy, ScriptedProxy, check_layer
from ziggurat.services import Backoff, Connector, Uri

TARGET = Uri.parse("https://target.example:443")
PROXY = Uri.parse("socks5://proxy.example:1080")


@pytest.mark.parametrize(
    "layer",
    [
        Identity(),
        TimeoutLayer(60.0),
        TimeoutLayer(60.0, name="all"),
        KeepAliveLayer(10.0),
        KeepAliveLayer(10.0, interval=5.0, count=3, require=True),
        NoDelayLayer(),
        NoDelayLayer(require=True),
        LoggingLayer(),
        LoggingLayer(mask_target=True),
        ConcurrencyLimitLayer(1),
        ConcurrencyLimitLayer(1, max_wait=30.0),
        ConcurrencyLimitLayer(1, mode="reject"),
        ConcurrencyLimitLayer(1, hold="stream"),
        ConcurrencyLimitLayer(1, mode="reject", hold="stream"),
    ],
    ids=repr,
)
async def test_a_layer_that_does_not_use_the_stream_keeps_the_contract_and_adds_no_wrapper(layer: Layer) -> None:
    await check_layer(layer, transparent=True)


@pytest.mark.parametrize("hold", ["dial", "stream"])
async def test_a_shared_limiter_gets_every_permit_back(hold: Any) -> None:
    await check_layer(ConcurrencyLimitLayer(Limiter(1), hold=hold), shared=True, transparent=True)


def proxy(**script: Any) -> Callable[[ByteStream], Any]:
    return ScriptedProxy(**script).handle


@pytest.mark.parametrize(
    ("layer", "script"),
    [
        (Socks5Layer(PROXY), {}),
        (Socks5Layer(PROXY), {"split": 1}),
        (Socks5Layer(PROXY), {"bound": ("a.name", 1), "split": 3}),
        (Socks5Layer(PROXY), {"bound": ("::1", 1)}),
        (Socks5Layer(PROXY, auth=UserPass("user", "word")), {}),
        (Socks5Layer(PROXY, auth=UserPass("user", "word"), pipeline="auth"), {}),
        (Socks5Layer(PROXY, auth=UserPass("user", "word"), pipeline="all"), {"split": 1}),
        (Socks5Layer(PROXY, pipeline="all"), {}),
        (Socks5Layer(PROXY, auth=Isolated()), {}),
        (Socks5Layer(PROXY, auth=Isolated(required=False)), {"method": 0}),
        (Socks5Layer(PROXY, handshake_timeout=None), {}),
        (Socks5Layer(PROXY, connect_timeout=30.0), {}),
    ],
    ids=repr,
)
async def test_socks5_keeps_the_contract_and_adds_no_wrapper(layer: Layer, script: dict[str, Any]) -> None:
    await check_layer(layer, uri=TARGET, peer=proxy(**script), inner_uri=PROXY, transparent=True)


HTTP_PROXY = Uri.parse("http://proxy.example:3128")
INFORMATIONAL = b"HTTP/1.1 100 Continue\r\n\r\n"
CHALLENGE = HttpReply(407, "Log in", [("Proxy-Authenticate", "Digest")], b"<title>Log in</title>")


class Answering:
    """Answers every challenge."""

    def start(self, uri: Uri, /) -> Answering:
        return self

    async def answer(self, challenges: tuple[str, ...], /) -> str | None:
        await checkpoint()  # it may ask someone
        return "Digest x" if challenges else None


@pytest.mark.parametrize(
    ("layer", "proxy"),
    [
        (HttpConnectLayer(HTTP_PROXY), ScriptedHttpProxy()),
        (HttpConnectLayer(HTTP_PROXY, auth=UserPass("u", "p"), timeout=None), ScriptedHttpProxy(split=1)),
        (HttpConnectLayer(HTTP_PROXY, headers={"X": "y"}), ScriptedHttpProxy(HttpReply(before=INFORMATIONAL))),
        (HttpConnectLayer(HTTP_PROXY, auth=Answering()), ScriptedHttpProxy(CHALLENGE, CHALLENGE, HttpReply())),
    ],
    ids=["plain", "basic", "informational", "challenge"],
)
async def test_http_connect_keeps_the_contract_and_adds_no_wrapper(layer: Layer, proxy: ScriptedHttpProxy) -> None:
    await check_layer(layer, uri=TARGET, peer=proxy.handle, inner_uri=HTTP_PROXY, transparent=True)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def tls_peer(authority: trustme.CA, name: str) -> Callable[[ByteStream], Any]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    context.set_alpn_protocols(["h2"])

    async def peer(stream: ByteStream) -> ByteStream:
        return await TLSStream.wrap(stream, server_side=True, ssl_context=context)

    return peer


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    context.set_alpn_protocols(["h2"])
    return context


async def test_tls_keeps_the_contract(authority: trustme.CA) -> None:
    await check_layer(
        TlsLayer(trusting(authority)), uri=TARGET, peer=tls_peer(authority, TARGET.host), inner_uri=TARGET
    )


class Whole:
    """A stack as one layer."""

    def __init__(self, builder: ServiceBuilder) -> None:
        self.builder = builder

    def layer(self, inner: Connector, /) -> Stack:
        return self.builder.service(inner)


async def test_a_whole_stack_keeps_the_contract(authority: trustme.CA) -> None:
    tls = tls_peer(authority, TARGET.host)

    async def peer(stream: ByteStream) -> None:
        async def target(tunnel: ByteStream) -> None:
            inside = await tls(tunnel)
            while True:
                await inside.send(await inside.receive())

        await ScriptedProxy(target=target).handle(stream)

    stack = (
        ServiceBuilder()
        .logging()
        .concurrency_limit(1, hold="stream")
        .timeout(60.0, name="tunnel")
        .tls(trusting(authority))
        .socks5(str(PROXY), auth=UserPass("user", "word"))
        .keepalive(10.0)
        .timeout(5.0, name="reach proxy")
    )
    await check_layer(Whole(stack), uri=TARGET, peer=peer, inner_uri=PROXY)


async def test_a_stack_that_dials_again_and_twice_keeps_the_contract() -> None:
    """Everything that decides how often and when a dial is made, over a proxy."""
    once = Backoff(0.125, factor=1.0, jitter=0.0)
    stack = (
        ServiceBuilder()
        .logging()
        .timeout(60.0)
        .retry(RetryPolicy(2, backoff=once, budget=RetryBudget(1000.0)))
        .logging()
        .circuit_breaker(Breaker(1000))
        .rate_limit(TokenBucket(1000.0))
        .hedge(20.0)
        .concurrency_limit(KeyedLimiter(2))
        .socks5(str(PROXY))
    )
    await check_layer(Whole(stack), uri=TARGET, peer=proxy(), inner_uri=PROXY, shared=True, transparent=True)
