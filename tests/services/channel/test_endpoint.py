"""The endpoint: its settings, their checks and their effects."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import math
from typing import Any

import anyio
import pytest
from anyio.abc import ByteStream
from grpclib.const import Status
from grpclib.encoding.proto import ProtoCodec, ProtoStatusDetailsCodec
from grpclib.exceptions import GRPCError
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.services import Backoff, Channel, ChannelState, ConnectRefused, Endpoint, Ledger, TcpConnector, Uri
from ziggurat.services.channel.options import ConnectionOptions, default_user_agent

MIB = 2**20


def test_the_arguments_and_their_defaults() -> None:
    defaults = {
        "call_timeout": None,
        "connect_timeout": None,
        "http2_timeout": 10.0,
        "http2_keepalive_interval": None,
        "http2_keepalive_timeout": 20.0,
        "http2_keepalive_while_idle": False,
        "stream_window": 4 * MIB,
        "connection_window": 4 * MIB,
        "max_frame_size": 256 * 1024,
        "max_message_size": 32 * MIB,
        "max_header_list_size": 64 * 1024,
        "max_unread": 64 * MIB,
        "initial_message_size": None,
        "compression": None,
        "linger": 2.0,
        "wait_for_ready": False,
        "backoff": Backoff(1.0, factor=1.6, jitter=0.2, maximum=120.0),
        "user_agent": None,
        "origin": None,
        "codec": None,
        "status_details_codec": None,
        "on_dial": None,
    }
    endpoint = Endpoint("http://far.example")
    assert {name: getattr(endpoint, name) for name in defaults} == defaults
    parameters = inspect.signature(Endpoint).parameters
    assert list(parameters) == ["target", *defaults]
    assert all(p.kind is p.KEYWORD_ONLY for name, p in parameters.items() if name != "target")


def test_an_endpoint_is_frozen_comparable_and_can_be_copied_with_replace() -> None:
    endpoint = Endpoint("http://far.example", call_timeout=1.0)
    assert endpoint == Endpoint(Uri("http", "far.example", 80), call_timeout=1.0)
    assert hash(endpoint) == hash(Endpoint("http://far.example:80", call_timeout=1.0))
    assert dataclasses.replace(endpoint, call_timeout=2.0).call_timeout == 2.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        endpoint.call_timeout = 3.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("kwargs", "error"),
    [
        *(
            ({name: value}, error)
            for name in (
                "call_timeout",
                "connect_timeout",
                "http2_timeout",
                "http2_keepalive_interval",
                "http2_keepalive_timeout",
            )
            for value, error in (
                (0, ValueError),
                (-1.0, ValueError),
                (math.nan, ValueError),
                (math.inf, ValueError),
                ("1", TypeError),
                (True, TypeError),
            )
        ),
        ({"http2_keepalive_timeout": None}, TypeError),
        ({"http2_keepalive_while_idle": 1}, TypeError),
        ({"stream_window": 65534}, ValueError),
        ({"stream_window": 2**31}, ValueError),
        ({"stream_window": 1e6}, TypeError),
        ({"connection_window": 65534}, ValueError),
        ({"connection_window": 2**31}, ValueError),
        ({"connection_window": None}, TypeError),
        ({"max_frame_size": 2**14 - 1}, ValueError),
        ({"max_frame_size": 2**24}, ValueError),
        ({"max_frame_size": True}, TypeError),
        ({"max_message_size": 0}, ValueError),
        ({"max_message_size": 2**32}, ValueError),
        ({"max_message_size": "1"}, TypeError),
        ({"initial_message_size": 0}, ValueError),
        ({"compression": "deflate"}, ValueError),
        ({"compression": True}, ValueError),
        ({"linger": -0.1}, ValueError),
        ({"linger": None}, TypeError),
        ({"wait_for_ready": None}, TypeError),
        ({"backoff": 1.0}, TypeError),
        ({"backoff": None}, TypeError),
        ({"user_agent": ""}, ValueError),
        ({"user_agent": "a\r\nb"}, ValueError),
        ({"user_agent": " a"}, ValueError),
        ({"user_agent": "ä"}, ValueError),
        ({"user_agent": b"a"}, TypeError),
        ({"origin": "api.example"}, ValueError),
        ({"origin": "unix:/x"}, ValueError),
        ({"origin": "socks5://api.example"}, ValueError),
        ({"origin": 1}, TypeError),
        ({"codec": "proto"}, TypeError),
        ({"status_details_codec": "proto"}, TypeError),
    ],
)
def test_the_error_names_the_wrong_argument(kwargs: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(kwargs))):
        Endpoint("http://far.example", **kwargs)


@pytest.mark.parametrize(
    "target", ["far.example", "socks5://far.example", "tcp://far.example:1", "http://far.example:x"]
)
def test_the_error_of_a_wrong_target_says_target(target: str) -> None:
    with pytest.raises(ValueError, match="target"):
        Endpoint(target)


@given(st.text(max_size=40))
def test_no_text_makes_an_endpoint_raise_another_error(text: str) -> None:
    try:
        uri = Endpoint(text).uri
    except ValueError as error:
        assert "target" in str(error)  # noqa: PT017  (hypothesis: most texts are wrong, a few are right)
    else:
        assert uri.scheme in ("http", "https", "unix")


def test_the_target_may_be_a_uri() -> None:
    uri = Uri.parse("https://far.example")
    assert Endpoint(uri).uri is uri


@pytest.mark.parametrize(
    ("target", "origin", "parts"),
    [
        ("http://far.example", None, ("http", "far.example")),
        ("https://far.example", None, ("https", "far.example")),
        ("https://far.example:443", None, ("https", "far.example")),
        ("https://far.example:80", None, ("https", "far.example:80")),
        ("http://far.example:443", None, ("http", "far.example:443")),
        ("http://[::1]", None, ("http", "[::1]")),
        ("http://[fe80::1%25eth0]", None, ("http", "[fe80::1]")),
        ("https://far.example:8443", None, ("https", "far.example:8443")),
        ("http://[::1]:50051", None, ("http", "[::1]:50051")),
        ("http://[fe80::1%25eth0]:50051", None, ("http", "[fe80::1]:50051")),
        ("unix:/run/far.sock", None, ("http", "localhost")),
        ("unix-abstract:far", None, ("http", "localhost")),
        ("unix:/run/far.sock", "https://api.example", ("https", "api.example")),
        ("unix:/run/far.sock", "https://api.example:443", ("https", "api.example:443")),
        ("unix:/run/far.sock", "https://api.example:443/", ("https", "api.example:443")),
        ("unix:/run/far.sock", "https://[::1]", ("https", "[::1]")),
        ("unix:/run/far.sock", "https://[fe80::1%25eth0]:443", ("https", "[fe80::1]:443")),
        ("unix:/run/far.sock", Uri.parse("https://api.example:443"), ("https", "api.example")),
        ("http://10.0.0.1:1", "https://api.example:8443", ("https", "api.example:8443")),
        ("http://10.0.0.1:1", Uri.parse("http://[::1]:2"), ("http", "[::1]:2")),
    ],
)
def test_the_scheme_and_authority_of_requests(target: str, origin: Any, parts: tuple[str, str]) -> None:
    """envoy#886, #4358, #7702, k6#2981: a virtual host ``api.example`` does not match ``api.example:443``.

    grpc-node#1475: another port is a part of it. istio#42243: a rule for ``:80`` needs it, so ``origin=`` can name it.
    """
    assert Endpoint(target, origin=origin).origin_parts == parts


def test_every_setting_of_a_connection_is_passed_on() -> None:
    settings: dict[str, Any] = {
        "stream_window": 100_000,
        "connection_window": 200_000,
        "max_frame_size": 30_000,
        "max_message_size": 40_000,
        "max_header_list_size": 9_000,
        "max_unread": 500_000,
        "initial_message_size": 500,
        "compression": "gzip",
        "linger": 5.0,
        "http2_keepalive_interval": 6.0,
        "http2_keepalive_timeout": 7.0,
        "http2_keepalive_while_idle": True,
    }
    options = Endpoint("http://far.example", user_agent="mine/1.0", **settings).connection_options
    assert options == ConnectionOptions(**settings, user_agent=f"mine/1.0 {default_user_agent()}")
    assert {f.name for f in dataclasses.fields(ConnectionOptions)} == {
        *settings,
        "user_agent",
        "max_concurrent_streams",
    }
    assert Endpoint("http://far.example").connection_options == ConnectionOptions()


def test_ours_is_the_user_agent_by_default() -> None:
    assert Endpoint("http://far.example").connection_options.user_agent == default_user_agent()


@pytest.mark.asyncio_only
async def test_a_request_carries_the_user_agent_and_the_origin(far_end: Any, say: Any) -> None:
    endpoint = Endpoint("http://10.0.0.1:50051", user_agent="mine/1.0", origin="https://api.example")
    async with endpoint.connect(far_end) as channel:
        await say(channel)
    headers = far_end.service.headers
    assert headers["user-agent"].startswith("mine/1.0 ziggurat/")
    assert (headers[":scheme"], headers[":authority"]) == ("https", "api.example")


@pytest.mark.asyncio_only
async def test_the_codecs_default_to_grpclibs(far_end: Any) -> None:
    async with Endpoint("http://far.example").connect_lazy(far_end) as channel:
        assert isinstance(channel._codec, ProtoCodec)

    class Mine(ProtoCodec):
        pass

    codec = Mine()
    async with Endpoint("http://far.example", codec=codec).connect_lazy(far_end) as channel:
        assert channel._codec is codec
        assert channel._status_details_codec is None
    details = ProtoStatusDetailsCodec()
    async with Endpoint("http://far.example", status_details_codec=details).connect_lazy(far_end) as channel:
        assert channel._status_details_codec is details


@pytest.mark.asyncio_only
async def test_the_windows_and_the_frame_size_are_announced_to_the_server(far_end: Any) -> None:
    endpoint = Endpoint("http://far.example", stream_window=100_000, connection_window=200_000, max_frame_size=30_000)
    async with endpoint.connect(far_end):
        await anyio.sleep(0.1)
        remote = far_end.transports[0].get_protocol().connection._connection
        assert remote.remote_settings.initial_window_size == 100_000
        assert remote.remote_settings.max_frame_size == 30_000
        assert remote.outbound_flow_control_window == 200_000


@pytest.mark.asyncio_only
async def test_a_message_beyond_max_message_size_is_refused(far_end: Any, say: Any) -> None:
    async with Endpoint("http://far.example", max_message_size=1000).connect(far_end) as channel:
        assert await say(channel, b"x" * 900) == b"x" * 900
        with pytest.raises(GRPCError, match="max_message_size") as caught:
            await say(channel, b"x" * 1001)
        assert caught.value.status is Status.RESOURCE_EXHAUSTED


@pytest.mark.asyncio_only
async def test_compression_is_announced_only_when_asked_for(far_end: Any, say: Any) -> None:
    for compression, header in ((None, None), ("gzip", "gzip")):
        async with Endpoint("http://far.example", compression=compression).connect(far_end) as channel:
            if compression is None:
                await say(channel)
            else:  # grpclib's server cannot read it
                with pytest.raises(GRPCError):
                    await say(channel)
        assert far_end.service.headers.get("grpc-encoding") == header


@pytest.mark.asyncio_only
async def test_http2_keepalive_detects_a_silent_peer(far_end: Any) -> None:
    async def fall_silent(stream: ByteStream) -> None:
        await stream.receive()
        await stream.send(b"\0\0\0\4\0\0\0\0\0")
        async for _ in stream:
            pass

    far_end.play = fall_silent
    endpoint = Endpoint(
        "http://far.example",
        http2_keepalive_interval=3.0,
        http2_keepalive_timeout=2.0,
        http2_keepalive_while_idle=True,
    )
    async with endpoint.connect(far_end) as channel:
        start = anyio.current_time()
        await channel.wait_for_state(ChannelState.IDLE)
        assert 4.9 < anyio.current_time() - start < 8.1


@pytest.mark.asyncio_only
@pytest.mark.asyncio_only
async def test_connect_lazy_is_a_plain_method(far_end: Any) -> None:
    channel = Endpoint("http://far.example").connect_lazy(far_end)
    assert isinstance(channel, Channel)
    assert far_end.dials == 0
    channel.close()


@pytest.mark.parametrize("method", ["connect", "connect_lazy", "describe"])
def test_a_connector_that_cannot_be_called_is_refused(method: str) -> None:
    with pytest.raises(TypeError, match="connector"):
        getattr(Endpoint("http://far.example"), method)("tcp")


async def test_under_trio_the_error_says_that_the_channel_needs_asyncio(anyio_backend_name: str) -> None:
    endpoint = Endpoint("http://far.example")
    if anyio_backend_name == "asyncio":
        endpoint.connect_lazy(TcpConnector()).close()
        return
    with pytest.raises(RuntimeError, match=r"needs asyncio.*grpclib"):
        endpoint.connect_lazy(TcpConnector())
    with pytest.raises(RuntimeError, match=r"needs asyncio.*grpclib"):
        await endpoint.connect(TcpConnector())
    with pytest.raises(RuntimeError, match=r"needs asyncio.*grpclib"):
        async with endpoint.connect(TcpConnector()):
            pass


# -- on_dial


@pytest.mark.asyncio_only
async def test_on_dial_gets_the_whole_ledger_of_every_attempt(far_end: Any, say: Any) -> None:
    seen: list[tuple[list[str], str | None]] = []

    def observe(ledger: Ledger) -> None:
        seen.append(([entry.name for entry in ledger.phases], ledger.error and ledger.error.message))

    endpoint = Endpoint("http://far.example", backoff=Backoff(1.0, jitter=0.0), on_dial=observe)
    async with endpoint.connect(far_end) as channel:
        assert seen == [(["memory", "http2"], None)]
        far_end.transports[0].abort()
        await channel.wait_for_state(ChannelState.IDLE)
        far_end.error = ConnectRefused("connection refused")
        with pytest.raises(GRPCError):
            await say(channel)
        assert seen[1:] == [(["memory"], "connection refused")]
        far_end.error, far_end.delay = None, 5.0
        with anyio.move_on_after(3):
            await channel.connect()
        await asyncio.sleep(0)
        assert seen[2:] == [(["memory"], "the dial was cancelled")]
        await channel.connect()
        assert seen[3:] == [(["memory", "http2"], None)]


@pytest.mark.asyncio_only
async def test_an_exception_in_on_dial_goes_to_the_loop_and_not_to_the_caller(far_end: Any, say: Any) -> None:
    contexts: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: contexts.append(context))

    def broken(ledger: Ledger) -> None:
        raise KeyError("mine")

    async with Endpoint("http://far.example", on_dial=broken).connect_lazy(far_end) as channel:
        assert await say(channel) == b"hello"
    assert [type(context["exception"]) for context in contexts] == [KeyError]
    assert "on_dial" in contexts[0]["message"]
