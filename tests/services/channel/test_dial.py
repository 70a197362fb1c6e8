"""One dial of an endpoint, from the call of the connector to the peer's SETTINGS."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest
from anyio.abc import ByteStream
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from tests.services.channel.calling import TARGET, Say, loose, settle
from tests.services.dials import failing
from ziggurat.layers.testing import stream_pair
from ziggurat.services import (
    ChannelState,
    ConnectError,
    ConnectRefused,
    ConnectTimeout,
    Endpoint,
    Http2Error,
    Uri,
    dial,
    phase,
)
from ziggurat.services.channel.dial import call_connector, require_tls

URI = Uri.parse("https://far.example")
OUTER = Uri.parse("tcp://outer.example:1")


async def test_the_connectors_stream_is_returned_unchanged() -> None:
    near, _far = stream_pair()

    async def connector(uri: Uri) -> ByteStream:
        assert uri is URI
        return near

    with dial(URI) as current:
        assert await call_connector(connector, URI, current.ledger) is near


async def test_a_connect_error_passes_unchanged() -> None:
    error = ConnectRefused("connection refused")

    async def connector(uri: Uri) -> ByteStream:
        raise error

    with pytest.raises(ConnectRefused) as caught, dial(URI) as current:
        await call_connector(connector, URI, current.ledger)
    assert caught.value is error


@pytest.mark.asyncio_only
async def test_cancellation_is_not_renamed() -> None:
    async def connector(uri: Uri) -> ByteStream:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError), dial(URI) as current:
        await call_connector(connector, URI, current.ledger)


@pytest.mark.parametrize("original", [ValueError("wrong"), OSError(5, "io"), ExceptionGroup("two", [OSError("one")])])
async def test_any_other_exception_becomes_a_connect_error_with_the_failed_phase(original: Exception) -> None:
    async def connector(uri: Uri) -> ByteStream:
        with phase("fine"):
            pass
        with phase("wrong", via="there"):
            raise original

    with pytest.raises(ConnectError) as caught, dial(URI) as current:
        await call_connector(connector, URI, current.ledger)
    assert caught.value.__cause__ is original
    assert (caught.value.phase, caught.value.via) == ("wrong", "there")
    assert type(original).__name__ in caught.value.message
    assert caught.value.transient


def checked(target: str, *vias: str | None, fails: bool = False) -> str | None:
    """The error of `require_tls` for a dial with tls phases via ``vias``; ``None`` without one."""
    try:
        with dial(Uri.parse(target)) as current:
            for via in vias:
                try:
                    with phase("tls", via=via):
                        if fails:
                            raise OSError("handshake")
                except OSError:
                    pass
            require_tls(current.ledger.target, current.ledger)
    except ConnectError as error:
        return str(error)
    return None


async def test_the_tls_of_an_attempt_or_branch_that_is_not_used_does_not_count() -> None:
    with dial(URI) as current:
        with failing(), current.trial():
            with phase("tls", via="far.example"):
                pass
            raise ConnectError("lost")
        with current.trial(), phase("tcp"):
            pass
        with pytest.raises(ConnectError, match=r"no layer verified 'far\.example' by TLS"):
            require_tls(URI, current.ledger)


async def test_tls_with_another_host_is_an_order_mistake_and_the_hint_says_so() -> None:
    error = checked("https://far.example", "proxy.corp", "second.corp")
    assert error is not None
    assert "TLS was with proxy.corp and second.corp: the order of the layers is wrong, put a TlsLayer above" in error


async def test_https_requires_a_tls_phase_with_its_own_host() -> None:
    assert checked("https://far.example", "far.example") is None
    assert checked("https://far.example.", "far.example") is None
    assert checked("https://[::1]:1", "::1") is None
    assert checked("https://[fe80::1%eth0]:1", "fe80::1") is None
    assert checked("https://far.example", "proxy.example", "far.example") is None
    assert checked("http://far.example") is None
    assert checked("unix:/run/far.sock") is None


async def test_anything_else_is_refused_with_a_hint() -> None:
    for refusal in (
        checked("https://far.example"),
        checked("https://far.example", None),
        checked("https://far.example", "proxy.example"),
        checked("https://far.example", "far.example", fails=True),
    ):
        assert refusal is not None
        assert "'far.example'" in refusal
        assert "TlsLayer" in refusal


@pytest.mark.asyncio_only
async def test_a_silent_server_is_a_timeout_in_the_http2_phase(far_end: Any, say: Say) -> None:
    async def mute(stream: ByteStream) -> None:
        while True:
            await stream.receive()

    far_end.play = mute
    start = anyio.current_time()
    with pytest.raises(ConnectTimeout) as caught:
        await Endpoint(TARGET, http2_timeout=3.0).connect(far_end)
    assert anyio.current_time() - start == pytest.approx(3.0)
    assert (caught.value.phase, caught.value.name, caught.value.limit) == ("http2", "http2_timeout", 3.0)
    assert caught.value.sent_to_target
    assert caught.value.transient
    assert far_end.open == 0
    async with Endpoint(TARGET, http2_timeout=3.0).connect_lazy(far_end) as channel:
        with pytest.raises(GRPCError) as rejected:
            await say(channel)
        assert rejected.value.status is Status.UNAVAILABLE
        assert rejected.value.message == str(rejected.value.__cause__)
        assert isinstance(rejected.value.__cause__, ConnectTimeout)


@pytest.mark.asyncio_only
async def test_connect_timeout_covers_the_stack_and_http2(far_end: Any) -> None:
    async def mute(stream: ByteStream) -> None:
        while True:
            await stream.receive()

    far_end.delay, far_end.play = 2.0, mute
    start = anyio.current_time()
    with pytest.raises(ConnectTimeout) as caught:
        await Endpoint(TARGET, connect_timeout=3.0, http2_timeout=None).connect(far_end)
    assert anyio.current_time() - start == pytest.approx(3.0)
    assert (caught.value.phase, caught.value.name) == ("http2", "connect_timeout")
    far_end.delay = 10.0
    with pytest.raises(ConnectTimeout) as caught:
        await Endpoint(TARGET, connect_timeout=3.0).connect(far_end)
    assert (caught.value.phase, caught.value.name) == ("memory", "connect_timeout")
    assert not caught.value.sent_to_target
    assert far_end.open == 0


@pytest.mark.asyncio_only
@pytest.mark.parametrize(
    "reply",
    [b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", b"\x05\xff", b"SSH-2.0-OpenSSH_9.2\r\n", b"\0" * 64],
)
async def test_another_protocol_is_a_clear_error_at_once(far_end: Any, reply: bytes) -> None:
    async def speak(stream: ByteStream) -> None:
        await stream.receive()
        await stream.send(reply)
        if len(reply) < 9:
            return  # too short for a verdict before it hangs up
        await anyio.sleep(100)

    far_end.play = speak
    start = anyio.current_time()
    with pytest.raises(Http2Error) as caught:
        await Endpoint(TARGET).connect(far_end)
    assert anyio.current_time() - start < 1
    assert caught.value.phase == "http2"
    assert not caught.value.transient
    assert caught.value.sent_to_target
    await settle()
    assert far_end.open == 0


@pytest.mark.asyncio_only
async def test_a_server_that_hangs_up_before_its_settings_is_a_transient_error(far_end: Any) -> None:
    async def hang_up(stream: ByteStream) -> None:
        await stream.receive()

    far_end.play = hang_up
    with pytest.raises(Http2Error, match="before its SETTINGS") as caught:
        await Endpoint(TARGET).connect(far_end)
    assert caught.value.transient


@pytest.mark.asyncio_only
async def test_an_exception_of_a_users_connector_becomes_a_connect_error(say: Say) -> None:
    original = RuntimeError("a foreign\nerror")

    async def broken(uri: Uri) -> ByteStream:
        with phase("my.step", via="gateway"):
            raise original

    async with Endpoint(TARGET).connect_lazy(broken) as channel:
        with pytest.raises(GRPCError) as caught:
            await say(channel)
    error = caught.value.__cause__
    assert type(error) is ConnectError
    assert error.__cause__ is original
    assert (error.phase, error.via) == ("my.step", "gateway")
    assert "RuntimeError: a foreign error" in str(error)
    assert "\n" not in str(error)


@pytest.mark.asyncio_only
async def test_a_connector_that_returns_no_stream_is_an_error() -> None:
    async def wrong(uri: Uri) -> ByteStream:
        return None  # type: ignore[return-value]

    with pytest.raises(ConnectError, match="not an anyio ByteStream") as caught:
        await Endpoint(TARGET).connect(wrong)
    assert not caught.value.transient


@pytest.mark.asyncio_only
async def test_https_without_a_verified_host_sends_nothing_and_gives_a_hint(far_end: Any) -> None:
    received: list[bytes] = []

    async def listen(stream: ByteStream) -> None:
        async for data in stream:
            received.append(data)

    far_end.play = listen
    for host in (None, "proxy.example"):
        far_end.tls_host = host
        with pytest.raises(ConnectError, match="TlsLayer") as caught:
            await Endpoint("https://far.example").connect(far_end)
        assert not caught.value.transient
        assert not caught.value.sent_to_target
        assert far_end.near[-1].closed
    await settle()
    assert received == []


@pytest.mark.asyncio_only
async def test_https_works_after_a_tls_phase_with_its_own_host(far_end: Any, say: Say) -> None:
    far_end.tls_host = "far.example"
    async with Endpoint("https://far.example").connect(far_end) as channel:
        await say(channel)
        assert far_end.service.headers[":scheme"] == "https"
        assert far_end.service.headers[":authority"] == "far.example"


@pytest.mark.asyncio_only
async def test_a_dial_that_fails_after_the_stack_returned_leaves_nothing_open(far_end: Any) -> None:
    near: list[ByteStream] = []

    class Unmade(anyio.abc.ByteStream):
        closed = False

        async def receive(self, max_bytes: int = 65536) -> bytes:
            raise anyio.BrokenResourceError

        async def send(self, item: bytes) -> None:
            raise anyio.BrokenResourceError

        async def send_eof(self) -> None: ...

        async def aclose(self) -> None:
            self.closed = True

    async def connector(uri: Uri) -> ByteStream:
        near.append(Unmade())
        return near[-1]

    with pytest.raises(Http2Error) as caught:
        await Endpoint(TARGET).connect(connector)
    assert caught.value.transient
    assert near[0].closed  # type: ignore[attr-defined]


# -- the caller's dial


@pytest.mark.asyncio_only
async def test_connect_joins_the_callers_open_dial(far_end: Any) -> None:
    with dial(OUTER) as outer:
        with phase("lookup"):
            await asyncio.sleep(1)
        async with Endpoint(TARGET).connect(far_end) as channel:
            assert channel.ledger is outer.ledger
            with phase("handshake"):
                await asyncio.sleep(1)
    assert [entry.name for entry in outer.ledger.phases] == ["lookup", "memory", "http2", "handshake"]
    assert outer.ledger.sent_to_target
    assert outer.ledger.target.host == "outer.example"


@pytest.mark.asyncio_only
async def test_the_error_has_the_whole_ledger(far_end: Any) -> None:
    far_end.error = ConnectRefused("connection refused")
    with pytest.raises(ConnectRefused) as caught, dial(OUTER) as outer:  # noqa: PT012
        with phase("lookup"):
            await asyncio.sleep(1)
        await Endpoint(TARGET).connect(far_end)
    assert caught.value.ledger is outer.ledger
    assert caught.value.elapsed == pytest.approx(1)


@pytest.mark.asyncio_only
async def test_only_the_first_dial_joins(far_end: Any, say: Say) -> None:
    with dial(OUTER) as outer:
        async with Endpoint(TARGET).connect(far_end) as channel:
            far_end.transports[0].abort()
            await channel.wait_for_state(ChannelState.IDLE)
            await say(channel)  # dials again
            assert channel.ledger is not outer.ledger
            far_end.transports[1].abort()
            await channel.wait_for_state(ChannelState.IDLE)
            await channel.connect()
        async with Endpoint(TARGET).connect_lazy(far_end) as channel:
            await say(channel)
    assert [entry.name for entry in outer.ledger.phases] == ["memory", "http2"]


@pytest.mark.asyncio_only
async def test_the_first_dial_runs_in_the_callers_context(far_end: Any) -> None:
    seen: list[str] = []

    async def look(uri: Uri) -> ByteStream:
        seen.append(loose.get())
        return await far_end(uri)

    loose.set("mine")
    async with Endpoint(TARGET).connect(look):
        pass
    assert seen == ["mine"]


@pytest.mark.asyncio_only
async def test_https_is_checked_against_the_endpoints_own_host(far_end: Any) -> None:
    far_end.tls_host = "far.example"
    with dial(OUTER):
        async with Endpoint("https://far.example").connect(far_end):
            pass
    far_end.tls_host = "outer.example"
    with pytest.raises(ConnectError, match=r"no layer verified 'far\.example'"), dial(OUTER):
        await Endpoint("https://far.example").connect(far_end)


@pytest.mark.asyncio_only
async def test_an_earlier_tls_phase_of_the_caller_does_not_count(far_end: Any) -> None:
    with pytest.raises(ConnectError, match=r"no layer verified 'far\.example'"), dial(Uri.parse("https://far.example")):  # noqa: PT012
        with phase("tls", via="far.example"):
            await asyncio.sleep(0)
        await Endpoint("https://far.example").connect(far_end)
    assert far_end.near[0].closed


@pytest.mark.asyncio_only
async def test_an_outcome_callback_that_ends_the_program_closes_the_connection(far_end: Any) -> None:
    class Exit(BaseException):
        pass

    async def connector(uri: Uri) -> ByteStream:
        with dial(uri) as current:
            current.on_outcome(leave)
            return await far_end(uri)

    def leave(error: BaseException | None) -> None:
        raise Exit

    with pytest.raises(Exit):
        await Endpoint(TARGET).connect(connector)
    await asyncio.sleep(0.01)
    assert far_end.near[0].closed
