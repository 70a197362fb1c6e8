"""check_layer accepts good layers and finds each kind of bad one: one deliberately broken layer per rule."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest
import sniffio
import trio
from anyio.abc import ByteStream
from anyio.lowlevel import checkpoint

from ziggurat.layers.layer import Identity
from ziggurat.layers.testing import SplitStream, check_layer, fault_layer, stream_pair
from ziggurat.services import (
    ConnectError,
    Connector,
    DialAttribute,
    Uri,
    WrappedStream,
    closing_on_error,
    dial,
    observed,
    phase,
)

PROXY = Uri.parse("socks5://proxy:1080")


# --- good layers -----------------------------------------------------------------------------------------------------


def speaking(inner: Connector) -> Connector:
    """A small handshake: one word each way, byte by byte."""

    async def connect(uri: Uri, /) -> ByteStream:
        with dial(uri) as current:
            stream = await inner(uri)
            async with closing_on_error(stream):
                with phase("hello", limit=60.0):
                    try:
                        await stream.send(b"hello")
                        for expected in b"olleh":
                            got = await stream.receive(1)
                            if got[0] != expected:
                                raise ConnectError("it does not speak hello")
                    except (anyio.EndOfStream, anyio.BrokenResourceError) as error:
                        raise ConnectError("it hung up") from error
                return current.established(stream)

    return connect


async def hello_peer(stream: ByteStream) -> None:
    word = b""
    while len(word) < 5:
        word += await stream.receive(5 - len(word))
    assert word == b"hello"
    await stream.send(b"ol")
    await stream.send(b"leh")


@dataclass(frozen=True, slots=True)
class OneAtATime:
    """Takes a permit for the dial, from its own limiter or the user's."""

    limiter: anyio.CapacityLimiter | None = None

    def layer(self, inner: Connector, /) -> Connector:
        limiter = self.limiter or anyio.CapacityLimiter(1)

        async def connect(uri: Uri, /) -> ByteStream:
            async with limiter:
                return await inner(uri)

        return connect


def through_a_task(inner: Connector) -> Connector:
    """Calls inner in a separate task and waits for it."""

    async def connect(uri: Uri, /) -> ByteStream:
        result: list[ByteStream] = []

        async def run() -> None:
            result.append(await inner(uri))

        try:
            error: Exception | None = None
            with dial(uri) as current:
                async with anyio.create_task_group() as tasks:

                    async def guarded() -> None:
                        nonlocal error
                        try:
                            await run()
                        except Exception as raised:
                            error = raised

                    tasks.start_soon(guarded)
                if error is not None:
                    raise error
                return current.established(result[0])
        except BaseException:
            for stream in result:
                await anyio.aclose_forcefully(stream)
            raise

    return connect


@pytest.mark.parametrize(
    "layer", [Identity(), OneAtATime(), through_a_task, fault_layer(lambda stream: SplitStream(stream, 3))]
)
async def test_good_layers_pass(layer: Any) -> None:
    await check_layer(layer)


async def test_a_layer_that_uses_the_stream_passes_with_its_peer() -> None:
    await check_layer(speaking, peer=hello_peer)


async def test_a_peer_may_return_the_stream_inside() -> None:
    async def peer(stream: ByteStream) -> ByteStream:
        await hello_peer(stream)
        return SplitStream(stream, 1)

    await check_layer(speaking, peer=peer)


async def test_a_layer_that_dials_another_uri_needs_inner_uri() -> None:
    def elsewhere(inner: Connector) -> Connector:
        async def connect(uri: Uri, /) -> ByteStream:
            with dial(uri) as current:
                return current.established(await inner(PROXY))

        return connect

    await check_layer(elsewhere, inner_uri=PROXY)
    with pytest.raises(AssertionError, match=r"called inner with socks5://proxy:1080, not http://target\.example"):
        await check_layer(elsewhere)


async def test_a_shared_limiter_needs_shared() -> None:
    layer = OneAtATime(anyio.CapacityLimiter(1))
    await check_layer(layer, shared=True)
    with pytest.raises(AssertionError, match=r"another application .* \(or pass shared=True"):
        await check_layer(layer)


async def test_a_transparent_layer_must_not_wrap_our_own_stream() -> None:
    await check_layer(Identity(), transparent=True)
    with pytest.raises(AssertionError, match="the layer wrapped one of our streams"):
        await check_layer(fault_layer(lambda stream: SplitStream(stream, 3)), transparent=True)


# --- bad layers ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bad:
    """Make a layer from one async function ``(inner, uri)``."""

    call: Callable[[Connector, Uri], Any]

    def layer(self, inner: Connector, /) -> Connector:
        return lambda uri: self.call(inner, uri)


async def leaks_on_cancel(inner: Connector, uri: Uri) -> ByteStream:
    stream = await inner(uri)
    await checkpoint()
    return stream


async def closes_on_exceptions_only(inner: Connector, uri: Uri) -> ByteStream:
    stream = await inner(uri)
    try:
        await checkpoint()
    except Exception:
        await anyio.aclose_forcefully(stream)
        raise
    return stream


async def opens_two(inner: Connector, uri: Uri) -> ByteStream:
    with dial(uri) as current:
        first = await inner(uri)
        async with closing_on_error(first):
            return current.established(await inner(uri))


async def closes_too_early(inner: Connector, uri: Uri) -> ByteStream:
    stream = await inner(uri)
    await anyio.aclose_forcefully(stream)
    return stream


async def swallows_cancellation(inner: Connector, uri: Uri) -> ByteStream | None:
    try:
        return await inner(uri)
    except anyio.get_cancelled_exc_class():
        return None


async def swallows_a_late_cancellation(inner: Connector, uri: Uri) -> ByteStream:
    stream = await inner(uri)
    try:
        await checkpoint()
    except BaseException:
        pass
    return stream


async def renames_cancellation(inner: Connector, uri: Uri) -> ByteStream:
    try:
        return await inner(uri)
    except anyio.get_cancelled_exc_class() as error:
        raise ConnectError("cancelled") from error


async def shields(inner: Connector, uri: Uri) -> ByteStream:
    with anyio.CancelScope(shield=True):
        return await inner(uri)


async def renames_errors(inner: Connector, uri: Uri) -> ByteStream:
    try:
        return await inner(uri)
    except Exception:
        raise ConnectError("something went wrong") from None


async def hides_errors(inner: Connector, uri: Uri) -> ByteStream | None:
    try:
        return await inner(uri)
    except ConnectError:
        return None


async def groups_errors(inner: Connector, uri: Uri) -> ByteStream:
    result: list[ByteStream] = []

    async def run() -> None:
        result.append(await inner(uri))

    with dial(uri) as current:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
        return current.established(result[0])


async def answers_with_nothing(inner: Connector, uri: Uri) -> None:
    await anyio.aclose_forcefully(await inner(uri))


async def does_not_dial(_: Connector, uri: Uri) -> ByteStream:
    return stream_pair()[0]


class DropsExtras(WrappedStream):
    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        ledger = self.inner.extra(DialAttribute.ledger)
        return {DialAttribute.ledger: lambda: ledger}


async def drops_extras(inner: Connector, uri: Uri) -> ByteStream:
    return DropsExtras(await inner(uri))


class DropsLedger(WrappedStream):
    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return {key: get for key, get in super().extra_attributes.items() if key is not DialAttribute.ledger}


async def drops_the_ledger(inner: Connector, uri: Uri) -> ByteStream:
    return DropsLedger(await inner(uri))


async def begins_the_dial_late(inner: Connector, uri: Uri) -> ByteStream:
    stream = await inner(uri)
    async with closing_on_error(stream):
        with dial(uri) as current:
            return current.established(stream)


async def dials_the_proxy_outside(inner: Connector, uri: Uri) -> ByteStream:
    return await inner(PROXY)


class DoesNotClose(WrappedStream):
    async def aclose(self) -> None:
        await checkpoint()


async def does_not_close(inner: Connector, uri: Uri) -> ByteStream:
    return DoesNotClose(await inner(uri))


class Garbles(WrappedStream):
    async def receive(self, max_bytes: int = 65536) -> bytes:
        return (await super().receive(max_bytes)).upper()


async def garbles(inner: Connector, uri: Uri) -> ByteStream:
    return Garbles(await inner(uri))


BAD: list[tuple[Callable[[Connector, Uri], Any], str]] = [
    (
        leaks_on_cancel,
        r"cancelled at await number \d+ of the dial, but 1 of inner's streams were left open: .*closing_on",
    ),
    (closes_on_exceptions_only, r"cancelled at await number \d+ of the dial, but 1 of inner's streams were left open"),
    (opens_two, "2 of inner's streams are open, not 1"),
    (closes_too_early, "0 of inner's streams are open, not 1"),
    (swallows_cancellation, "cancelled while inner was waiting, but the layer swallowed it"),
    (swallows_a_late_cancellation, r"cancelled at await number \d+ of the dial, but the layer swallowed it"),
    (renames_cancellation, r"cancelled while inner was waiting, but the layer raised ConnectError.* never replace"),
    (shields, "cancelled while inner was waiting, but the call of inner went on"),
    (renames_errors, "inner raised ConnectError, but the layer raised ConnectError.* which hides it"),
    (hides_errors, "inner raised ConnectError, but the layer returned: let the error through"),
    (groups_errors, "inner raised ConnectError, but the layer raised ExceptionGroup.* which hides it"),
    (answers_with_nothing, "the layer returned None: a connector returns an anyio ByteStream"),
    (does_not_dial, "without calling inner"),
    (drops_extras, r"a typed attribute of inner's stream .* is missing"),
    (drops_the_ledger, "the stream carries no ledger"),
    (begins_the_dial_late, r"the ledger is not that of the dial to http://target.example:80"),
    (does_not_close, "the layer's stream was closed, but 1 of inner's streams were left open"),
    (garbles, "changed the data"),
]


@pytest.mark.parametrize(("call", "message"), BAD, ids=lambda value: getattr(value, "__name__", ""))
async def test_a_broken_layer_is_found(call: Callable[[Connector, Uri], Any], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        await check_layer(Bad(call))


async def test_a_layer_that_dials_a_proxy_outside_its_own_dial_is_found() -> None:
    with pytest.raises(AssertionError, match=r"the ledger is not that of the dial to http://target\.example:80"):
        await check_layer(Bad(dials_the_proxy_outside), inner_uri=PROXY)


async def test_a_permit_that_is_not_released_on_cancellation_is_found() -> None:
    def keeps_permit(inner: Connector) -> Connector:
        permits = anyio.Semaphore(1)

        async def connect(uri: Uri, /) -> ByteStream:
            await permits.acquire()
            try:
                stream = await inner(uri)
            except Exception:
                permits.release()
                raise
            permits.release()
            return stream

        return connect

    with pytest.raises(
        AssertionError, match="cancelled while inner was waiting, but this dial did not end within 120 s"
    ):
        await check_layer(keeps_permit)


async def test_a_permit_that_is_not_released_on_error_is_found() -> None:
    def keeps_permit(inner: Connector) -> Connector:
        permits = anyio.Semaphore(1)

        async def connect(uri: Uri, /) -> ByteStream:
            await permits.acquire()
            stream = await inner(uri)
            permits.release()
            return stream

        return connect

    with pytest.raises(AssertionError, match="inner raised ConnectError in an earlier dial, but this dial did not end"):
        await check_layer(keeps_permit)


async def test_a_permit_that_outlives_the_stream_is_found() -> None:
    def keeps_permit(inner: Connector) -> Connector:
        permits = anyio.Semaphore(1)

        async def connect(uri: Uri, /) -> ByteStream:
            await permits.acquire()
            return await inner(uri)

        return connect

    with pytest.raises(AssertionError, match="inner returned a stream, but this dial did not end"):
        await check_layer(keeps_permit)


async def test_a_task_that_is_left_running_is_found() -> None:
    stop = anyio.Event()

    async def leaves_a_task(inner: Connector, uri: Uri) -> ByteStream:
        stream = await inner(uri)
        if sniffio.current_async_library() == "asyncio":
            running.append(asyncio.create_task(stop.wait(), name="forgotten"))
        else:
            trio.lowlevel.spawn_system_task(stop.wait, name="forgotten")
        return stream

    running: list[asyncio.Task[Any]] = []
    with pytest.raises(AssertionError, match=r"tasks were left running: .*forgotten"):
        await check_layer(Bad(leaves_a_task))
    stop.set()
    for _ in range(5):
        await checkpoint()


async def test_a_call_of_inner_that_is_left_running_is_found() -> None:
    async def leaves_inner(inner: Connector, uri: Uri) -> ByteStream:
        """Behave like asyncio.shield, on either backend."""
        result: list[ByteStream | Exception] = []
        done = anyio.Event()

        async def run() -> None:
            try:
                result.append(await inner(uri))
            except Exception as error:
                result.append(error)
            done.set()

        with dial(uri) as current:
            background.start_soon(run)
            await done.wait()
            if isinstance(result[0], Exception):
                raise result[0]
            return current.established(result[0])

    async with anyio.create_task_group() as background:
        with pytest.raises(AssertionError, match=r"a call of inner is still running: await it in the call itself"):
            await check_layer(Bad(leaves_inner))
        background.cancel_scope.cancel()


@dataclass(frozen=True)
class SharesState:
    lock: anyio.Lock = field(default_factory=anyio.Lock)

    def layer(self, inner: Connector, /) -> Connector:
        async def connect(uri: Uri, /) -> ByteStream:
            async with self.lock:
                return await inner(uri)

        return connect


async def test_state_shared_by_applications_is_found() -> None:
    with pytest.raises(AssertionError, match="another application of the layer was dialling, which must not matter"):
        await check_layer(SharesState())


class KeepsInner:
    inner: Connector

    def layer(self, inner: Connector, /) -> Connector:
        self.inner = inner
        return self.call

    async def call(self, uri: Uri, /) -> ByteStream:
        return await self.inner(uri)


async def test_an_inner_kept_in_the_layer_is_found() -> None:
    with pytest.raises(AssertionError, match="one application called the other's inner"):
        await check_layer(KeepsInner())


class Counts:
    def __init__(self) -> None:
        self.dials = 0

    def layer(self, inner: Connector, /) -> Connector:
        async def connect(uri: Uri, /) -> ByteStream:
            self.dials += 1
            return await inner(uri)

        return connect


async def test_a_layer_that_changes_itself_is_found() -> None:
    with pytest.raises(AssertionError, match="dialling changed the layer itself"):
        await check_layer(Counts())


async def test_a_layer_that_dials_while_being_built_is_found() -> None:
    class Calls:
        def layer(self, inner: Connector, /) -> Connector:
            inner.calls.append(Uri.parse("http://early:1"))  # type: ignore[attr-defined]
            return inner

    with pytest.raises(AssertionError, match=r"layer\(\) itself called inner"):
        await check_layer(Calls())


# --- bad layers that speak -------------------------------------------------------------------------------------------


def speaks_badly(
    guard: Callable[[ByteStream], Any] = closing_on_error,
    errors: tuple[type[Exception], ...] = (anyio.EndOfStream, anyio.BrokenResourceError),
) -> Callable[[Connector], Connector]:
    def wrap(inner: Connector) -> Connector:
        async def connect(uri: Uri, /) -> ByteStream:
            with dial(uri) as current:
                stream = await inner(uri)
                async with guard(stream):
                    try:
                        await stream.send(b"hello")
                        for _ in range(5):
                            await stream.receive(1)
                    except errors as error:
                        raise ConnectError("it hung up") from error
                    return current.established(stream)

        return connect

    return wrap


class no_guard:
    def __init__(self, stream: ByteStream) -> None:
        pass

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, *_: object) -> None:
        pass


class cancel_guard(closing_on_error[ByteStream]):
    """Closes the stream when cancelled, but not on errors."""

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> None:
        if not isinstance(error, Exception) or not isinstance(error, ConnectError):
            await super().__aexit__(kind, error, trace)


async def test_a_stream_that_is_left_open_when_the_handshake_is_cancelled_is_found() -> None:
    with pytest.raises(AssertionError, match=r"cancelled at await number \d+ .* left open"):
        await check_layer(speaks_badly(no_guard), peer=hello_peer)


async def test_a_stream_that_is_left_open_when_the_handshake_fails_is_found() -> None:
    with pytest.raises(AssertionError, match=r"inner's stream was reset after 0 received bytes, but 1 .* left open"):
        await check_layer(speaks_badly(cancel_guard), peer=hello_peer)


async def test_a_stream_error_that_is_not_mapped_is_found() -> None:
    with pytest.raises(
        AssertionError, match=r"ended after 0 received bytes, but the layer raised EndOfStream.*ConnectEr"
    ):
        await check_layer(speaks_badly(errors=(anyio.BrokenResourceError,)), peer=hello_peer)


async def test_a_layer_that_waits_forever_is_found_with_a_hint_at_peer() -> None:
    with pytest.raises(AssertionError, match=r"the layer raised ConnectTimeout.*'hello' of 60 s.* pass peer="):
        await check_layer(speaking, peer=lambda stream: anyio.sleep(1000))  # type: ignore[arg-type, return-value]
    with pytest.raises(AssertionError, match=r"did not end within 120 s: .* pass peer="):
        await check_layer(speaks_badly(), peer=lambda stream: anyio.sleep(1000))  # type: ignore[arg-type, return-value]


async def test_an_error_at_the_far_end_is_reported() -> None:
    async def peer(stream: ByteStream) -> None:
        raise ValueError("the peer is broken")

    with pytest.raises(AssertionError, match=r"at the far end: ValueError\('the peer is broken'\)"):
        await check_layer(speaking, peer=peer)


async def test_observed_streams_are_returned_unchanged() -> None:
    async def observes(inner: Connector, uri: Uri) -> ByteStream:
        return observed(await inner(uri))

    await check_layer(Bad(observes), transparent=True)
