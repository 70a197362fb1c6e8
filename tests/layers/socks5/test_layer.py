"""The layer over streams: its writes, the stream that it returns, what it closes, and its errors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
import trio
from anyio.abc import ByteStream
from structlog.tracebacks import ExceptionDictTransformer

from tests.tracebacks import frames, places_of
from ziggurat.layers import Isolated, Layer, ServiceBuilder, Socks5Layer, Stack, TimeoutLayer, UserPass, layer_fn
from ziggurat.layers.socks5.handshake import Pipeline
from ziggurat.layers.testing import MockHandle, ResetStream, ScriptedProxy, fault_layer, mock_connector
from ziggurat.layers.testing.socks5_messages import Credentials
from ziggurat.services import (
    ConnectError,
    Connector,
    ConnectRefused,
    ConnectTimeout,
    DialAttribute,
    ProxyAuthError,
    ProxyProtocolError,
    ProxyRefused,
    Uri,
    WrappedStream,
)

URI = Uri.parse("http://target.example:443")
PROXY = Uri.parse("socks5://proxy:1080")
REQUEST = b"\x05\x01\x00\x03\x0etarget.example\x01\xbb"
OPEN = b"\x05\x00\x00\x01" + bytes(6)
Play = Callable[[ByteStream], Awaitable[None]]


async def dial(layer: Socks5Layer, play: Play, uri: Uri = URI) -> tuple[ByteStream, MockHandle]:
    """Dial through ``layer`` while ``play`` plays the proxy; return the stream."""
    connector, handle = mock_connector()
    result: list[ByteStream] = []

    async def proxy() -> None:
        request = await handle.next()
        assert request.uri == layer.proxy
        far = request.accept()
        await play(far)

    async with anyio.create_task_group() as group:
        group.start_soon(proxy)
        try:
            result.append(await layer.layer(connector)(uri))
        finally:
            group.cancel_scope.cancel()
    return result[0], handle


async def failing(layer: Layer, play: Play, uri: Uri = URI) -> ConnectError:
    """Return the error of a dial that must fail and must leave nothing open."""
    connector, handle = mock_connector()
    caught: list[ConnectError] = []

    async def proxy() -> None:
        await play((await handle.next()).accept())

    async with anyio.create_task_group() as group:
        group.start_soon(proxy)
        with pytest.raises(ConnectError) as info:
            await layer.layer(connector)(uri)
        caught.append(info.value)
        group.cancel_scope.cancel()
    assert not handle.open_streams
    return caught[0]


async def exactly(stream: ByteStream, expected: bytes) -> None:
    data = b""
    while len(data) < len(expected):
        data += await stream.receive(len(expected) - len(data))
    assert data == expected


async def test_a_tunnel_without_authentication() -> None:
    async def play(far: ByteStream) -> None:
        assert await far.receive() == b"\x05\x01\x00"
        await far.send(b"\x05\x00")
        assert await far.receive() == REQUEST
        await far.send(OPEN + b"early")
        await anyio.sleep_forever()

    stream, handle = await dial(Socks5Layer("proxy"), play)

    assert await stream.receive() == b"early"
    _leaf, *phases = stream.extra(DialAttribute.ledger).phases
    assert [(p.name, p.via, p.outcome) for p in phases] == [
        ("proxy.greeting", "proxy:1080", "ok"),
        ("proxy.connect", "proxy:1080", "ok"),
    ]
    assert [(p.sent, p.received) for p in phases] == [(3, 2), (len(REQUEST), len(OPEN))]
    await stream.aclose()
    assert not handle.open_streams


@pytest.mark.parametrize(
    ("auth", "pipeline", "writes"),
    [
        (None, None, [3, len(REQUEST)]),
        (UserPass("u", "p"), None, [3, 5, len(REQUEST)]),
        (UserPass("u", "p"), "auth", [3, 5 + len(REQUEST)]),
        (UserPass("u", "p"), "all", [3 + 5 + len(REQUEST)]),
    ],
)
async def test_one_complete_message_per_write(auth: UserPass | None, pipeline: str | None, writes: list[int]) -> None:
    seen: list[int] = []

    async def play(far: ByteStream) -> None:
        replies = [b"\x05\x02", b"\x01\x00", OPEN] if auth else [b"\x05\x00", OPEN]
        pending = b""
        for index, reply in enumerate(replies):
            while len(pending) < [3, 5, len(REQUEST)][index if auth else index * 2]:
                data = await far.receive()
                seen.append(len(data))
                pending += data
            pending = pending[[3, 5, len(REQUEST)][index if auth else index * 2] :]
            await far.send(reply)
        await anyio.sleep_forever()

    stream, _ = await dial(Socks5Layer("proxy", auth=auth, pipeline=pipeline), play)  # type: ignore[arg-type]

    assert seen == writes
    await stream.aclose()


async def test_every_reply_may_arrive_a_byte_at_a_time() -> None:
    async def play(far: ByteStream) -> None:
        await exactly(far, b"\x05\x01\x02")
        for byte in b"\x05\x02":
            await far.send(bytes([byte]))
            await anyio.sleep(0.1)
        await exactly(far, b"\x01\x01u\x01p")
        for byte in b"\x01\x00":
            await far.send(bytes([byte]))
            await anyio.sleep(0.1)
        await exactly(far, REQUEST)
        for byte in b"\x05\x00\x00\x03\x03abc\x00":
            await far.send(bytes([byte]))
            await anyio.sleep(0.1)
        await far.send(b"\x50hello")

    stream, _ = await dial(Socks5Layer("proxy", auth=UserPass("u", "p")), play)

    assert await stream.receive(1) == b"h"
    await stream.aclose()


async def test_a_proxy_without_authentication_is_noted_as_isolating_nothing() -> None:
    async def play(far: ByteStream) -> None:
        await exactly(far, b"\x05\x02\x00\x02")
        await far.send(b"\x05\x00")
        await exactly(far, REQUEST)
        await far.send(OPEN)
        await anyio.sleep_forever()

    stream, _ = await dial(Socks5Layer("proxy", auth=Isolated(required=False)), play)

    assert (
        stream.extra(DialAttribute.ledger).phases[1].note
        == "the proxy supports no authentication: nothing was isolated"
    )
    await stream.aclose()


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("step", [0, 1, 2])
async def test_eof_at_each_step_is_an_error_of_its_phase(step: int, reset: bool) -> None:
    async def play(far: ByteStream) -> None:
        for reply in [b"\x05\x02", b"\x01\x00"][:step]:
            await far.receive()
            await far.send(reply)
        await far.receive()
        if reset:
            await anyio.aclose_forcefully(far)
        else:
            await far.send_eof()
            await anyio.sleep_forever()

    error = await failing(Socks5Layer("proxy", auth=UserPass("u", "hunter2")), play)

    assert type(error) is ProxyProtocolError
    assert error.phase == ["proxy.greeting", "proxy.auth", "proxy.connect"][step]
    assert error.via == "proxy:1080"
    assert error.transient
    assert not error.sent_to_target
    assert "hunter2" not in str(error)


async def test_a_refusal_has_its_code_its_name_and_a_hint() -> None:
    async def play(far: ByteStream) -> None:
        await far.receive()
        await far.send(b"\x05\x00")
        await far.receive()
        await far.send(b"\x05\xf1")

    error = await failing(Socks5Layer("proxy"), play)

    assert isinstance(error, ProxyRefused)
    assert error.reply_code == 0xF1
    assert "http://target.example:443: proxy.connect via proxy:1080 failed after" in str(error)
    assert "onion service descriptor invalid (0xf1)" in str(error)
    assert error.hint


async def test_refused_credentials_are_an_error_of_the_auth_phase() -> None:
    async def play(far: ByteStream) -> None:
        await far.receive()
        await far.send(b"\x05\x02")
        await far.receive()
        await far.send(b"\x01\x01")

    error = await failing(Socks5Layer("proxy", auth=UserPass("u", "p")), play)

    assert isinstance(error, ProxyAuthError)
    assert error.phase == "proxy.auth"


@pytest.mark.parametrize(("replies", "phase"), [([], "proxy.greeting"), ([b"\x05\x02"], "proxy.auth")])
async def test_one_limit_covers_greeting_and_authentication(replies: list[bytes], phase: str) -> None:
    async def play(far: ByteStream) -> None:
        for reply in replies:
            await anyio.sleep(2.0)
            await far.receive()
            await far.send(reply)
        await anyio.sleep_forever()

    started = anyio.current_time()
    error = await failing(Socks5Layer("proxy", auth=UserPass("u", "p"), handshake_timeout=3.0), play)

    assert isinstance(error, ConnectTimeout)
    assert (error.phase, error.name, error.limit) == (phase, "handshake_timeout", 3.0)
    assert anyio.current_time() - started == pytest.approx(3.0)
    assert error.ledger is not None
    assert error.ledger.phases[-1].limit == pytest.approx(1.0 if replies else 3.0)


@pytest.mark.parametrize("outer", [True, False])
async def test_a_proxy_that_does_not_answer_the_greeting_may_be_an_http_proxy(outer: bool) -> None:
    async def play(far: ByteStream) -> None:
        await anyio.sleep_forever()

    socks = Socks5Layer("proxy", handshake_timeout=3.0)
    above = layer_fn(lambda inner: TimeoutLayer(1.0).layer(socks.layer(inner)))
    error = await failing(above if outer else socks, play)

    assert isinstance(error, ConnectTimeout)
    assert error.hint == "the proxy says nothing; HTTP proxies do this"


async def test_a_proxy_that_says_half_a_word_is_not_mute() -> None:
    async def play(far: ByteStream) -> None:
        await far.send(b"\x05")
        await anyio.sleep_forever()

    error = await failing(Socks5Layer("proxy", handshake_timeout=3.0), play)

    assert (error.phase, error.hint) == ("proxy.greeting", None)


async def test_the_tunnel_has_its_own_limit() -> None:
    async def play(far: ByteStream) -> None:
        await far.receive()
        await far.send(b"\x05\x00")
        await anyio.sleep_forever()

    error = await failing(Socks5Layer("proxy", handshake_timeout=1.0, connect_timeout=30.0), play)

    assert isinstance(error, ConnectTimeout)
    assert (error.phase, error.name, error.limit) == ("proxy.connect", "connect_timeout", 30.0)


async def test_the_error_of_an_unreachable_proxy_passes_unchanged() -> None:
    connector, handle = mock_connector()
    refused = ConnectRefused("connection refused")
    async with anyio.create_task_group() as group:

        async def refuse() -> None:
            (await handle.next()).fail(refused)

        group.start_soon(refuse)
        with pytest.raises(ConnectRefused) as caught:
            await Socks5Layer("proxy").layer(connector)(URI)

    assert caught.value is refused
    assert caught.value.target == URI


@pytest.mark.parametrize("target", ["unix:/run/x", "http://[fe80::1%eth0]:80"])
async def test_a_target_that_socks5_cannot_express_is_refused_before_the_proxy_is_dialled(target: str) -> None:
    connector, handle = mock_connector()
    with pytest.raises(ConnectError):
        await Socks5Layer("proxy").layer(connector)(Uri.parse(target))
    assert not handle.requests


async def test_two_layers_make_a_chain_of_proxies() -> None:
    connector, handle = mock_connector()
    stack = ServiceBuilder().socks5("second:1080").socks5("first:1080").service(connector)
    streams: list[ByteStream] = []

    async def proxies() -> None:
        request = await handle.next()
        assert request.uri == Uri.parse("socks5://first:1080")
        far = request.accept()
        for asked in (b"\x05\x01\x00\x03\x06second\x04\x38", REQUEST):
            await exactly(far, b"\x05\x01\x00")
            await far.send(b"\x05\x00")
            await exactly(far, asked)
            await far.send(OPEN)

    async with anyio.create_task_group() as group:
        group.start_soon(proxies)
        streams.append(await stack(URI))

    _leaf, *phases = streams[0].extra(DialAttribute.ledger).phases
    assert [(p.name, p.via) for p in phases] == [
        ("proxy.greeting", "first:1080"),
        ("proxy.connect", "first:1080"),
        ("proxy.greeting", "second:1080"),
        ("proxy.connect", "second:1080"),
    ]
    await streams[0].aclose()


@pytest.mark.parametrize(
    "wrong",
    [
        {"proxy": "http://proxy:3128"},
        {"proxy": Uri.parse("http://proxy:3128")},
        {"proxy": ""},
        {"proxy": "socks5://u:p@proxy", "auth": UserPass("u", "p")},
        {"proxy": "socks5://u:p@proxy", "auth": Isolated()},
        {"proxy": "proxy", "handshake_timeout": 0},
        {"proxy": "proxy", "handshake_timeout": float("nan")},
        {"proxy": "proxy", "connect_timeout": -1.0},
        {"proxy": "proxy", "pipeline": "yes"},
        {"proxy": "proxy", "literals": "hex"},
    ],
)
def test_wrong_settings_are_a_value_error(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"proxy|timeout|pipeline|literals|credentials"):
        Socks5Layer(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"proxy": None}, "proxy must be a str or a Uri, not NoneType"),
        ({"proxy": b"user:hunter2@proxy"}, "proxy must be a str or a Uri, not bytes"),
        ({"proxy": "proxy", "auth": ("user", "hunter2")}, "auth must be UserPass, Isolated or None, not tuple"),
        ({"proxy": "proxy", "auth": "user:hunter2"}, "auth must be UserPass, Isolated or None, not str"),
        ({"proxy": "proxy", "auth": Isolated}, r"Isolated is a class: pass an instance, Isolated\(\.\.\.\)"),
        ({"proxy": "user:hunter2@proxy", "handshake_timeout": "10"}, "handshake_timeout must be"),
    ],
)
def test_a_setting_of_another_type_is_a_type_error_without_a_secret(wrong: dict[str, object], message: str) -> None:
    for make in (Socks5Layer, ServiceBuilder().socks5):
        with pytest.raises(TypeError, match=message) as caught:
            make(**wrong)  # type: ignore[arg-type]
        assert places_of("hunter2", caught.value) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"proxy": "proxy:1080:user:hunter2"},
        {"proxy": "user:hunter2@proxy", "auth": Isolated()},
        {"proxy": "user:hunter2@proxy", "pipeline": "yes"},
        {"proxy": "user:hunter2@proxy", "auth": UserPass("user", "hunter2")},
    ],
)
def test_a_refused_setting_shows_no_secret(wrong: dict[str, object]) -> None:
    for make in (Socks5Layer, ServiceBuilder().socks5):
        with pytest.raises(ValueError, match=r"\S") as caught:
            make(**wrong)  # type: ignore[arg-type]
        assert places_of("hunter2", caught.value) == []


class WaitStream(WrappedStream):
    """A stream on which a send waits for ever that would go beyond ``open_`` bytes."""

    def __init__(self, inner: ByteStream, open_: int) -> None:
        super().__init__(inner)
        self.open_ = open_

    async def send(self, item: bytes) -> None:
        if self.bytes_sent + len(item) > self.open_:
            await anyio.sleep_forever()
        await super().send(item)


@pytest.mark.parametrize("pipeline", [None, "auth", "all"])
@pytest.mark.parametrize(
    ("script", "fault"),
    [
        ({"auth": 1}, None),
        ({"auth": b"\x02\x00"}, None),
        ({"reply": 5}, None),
        ({"cut": 2}, None),
        ({"cut": 2, "cut_with": "stall"}, None),
        ({"cut": 2, "cut_with": "reset"}, None),
        ({}, lambda stream: ResetStream(stream, sent=4)),
        ({}, lambda stream: WaitStream(stream, 3)),
        ({}, lambda stream: WaitStream(stream, 0)),
    ],
)
async def test_a_failed_dial_shows_the_password_in_no_local(
    pipeline: Pipeline, script: dict[str, Any], fault: Callable[[ByteStream], ByteStream] | None
) -> None:
    async with ScriptedProxy(**script) as proxy:
        builder = ServiceBuilder().socks5("user:hunter2@proxy", pipeline=pipeline, handshake_timeout=3.0)
        stack = (builder if fault is None else builder.layer(fault_layer(fault))).service(proxy.connector())
        with pytest.raises(ConnectError) as caught:
            await stack(URI)

    assert places_of("hunter2", caught.value) == []


def stack_with_a_password(inner: Connector) -> Stack:
    return ServiceBuilder().logging().socks5("user:hunter2@proxy").timeout(5.0).service(inner)


async def test_a_renderer_of_whole_tracebacks_prints_no_password() -> None:
    """structlog's own, as after hynek/structlog#715: every frame with its locals, the test's included."""
    async with ScriptedProxy(auth=1) as proxy:
        stack = stack_with_a_password(proxy.connector())
        with pytest.raises(ConnectError) as caught:
            await stack(URI)

    stacks = ExceptionDictTransformer(show_locals=True)((caught.type, caught.value, caught.tb))
    text = json.dumps(stacks)
    assert "_exchange" in text
    assert "UserPass" in text  # locals are there
    assert "hunter2" not in text


async def test_a_cancelled_dial_shows_the_password_in_no_local() -> None:
    caught: list[BaseException] = []
    async with ScriptedProxy() as proxy:
        stack = (
            ServiceBuilder()
            .socks5("user:hunter2@proxy")
            .layer(fault_layer(lambda stream: WaitStream(stream, 3)))
            .service(proxy.connector())
        )
        with anyio.move_on_after(1.0):
            try:
                await stack(URI)
            except BaseException as error:
                caught.append(error)
                raise

    assert isinstance(caught[0], asyncio.CancelledError | trio.Cancelled)
    assert places_of("hunter2", caught[0]) == []


async def test_without_credentials_the_streams_below_stay_in_the_traceback() -> None:
    async with ScriptedProxy() as proxy:
        layer = fault_layer(lambda stream: ResetStream(stream, sent=1))
        stack = ServiceBuilder().socks5("proxy").layer(layer).service(proxy.connector())
        with pytest.raises(ConnectError) as caught:
            await stack(URI)

    assert "_break" in [frame.f_code.co_name for frame in frames(caught.value)]


def test_the_two_schemes_mean_the_same_and_secrets_are_masked() -> None:
    layer = Socks5Layer("socks5h://user:hunter2@proxy")

    assert (
        layer == Socks5Layer("socks5://user:hunter2@proxy:1080") == Socks5Layer(PROXY, auth=UserPass("user", "hunter2"))
    )
    assert "hunter2" not in repr(layer)


async def test_a_password_may_be_empty() -> None:
    async with ScriptedProxy() as proxy:
        stream = await Socks5Layer("socks5://token@proxy").layer(proxy.connector())(URI)
        await stream.aclose()

    assert proxy.sessions[0].credentials == Credentials(b"token", b"")


@pytest.mark.parametrize(("method", "sent"), [(0, None), (2, Credentials(b"u", b"p"))])
async def test_credentials_that_are_not_required_go_to_a_proxy_that_asks_for_them(
    method: int, sent: Credentials | None
) -> None:
    async with ScriptedProxy(method=method) as proxy:
        stream = await Socks5Layer("proxy", auth=UserPass("u", "p", required=False)).layer(proxy.connector())(URI)
        await stream.aclose()
        notes = [entry.note for entry in stream.extra(DialAttribute.ledger).phases]

    assert proxy.sessions[0].methods == (0, 2)
    assert proxy.sessions[0].credentials == sent
    assert notes == [None] * len(notes)  # nothing was to be isolated


def test_credentials_too_long_for_socks5_are_refused_at_construction() -> None:
    with pytest.raises(ValueError, match="password must be at most 255 bytes"):
        Socks5Layer("proxy", auth=UserPass("u", "x" * 256))
