"""Foreign exceptions that a layer lets out, and the layer's own line in the output."""

from __future__ import annotations

import traceback
from collections.abc import Callable

import anyio
import pytest
from anyio.abc import ByteStream

from ziggurat.layers.testing import MemoryStream, check_layer, stream_pair
from ziggurat.services import ConnectError, Connector, Uri, WrappedStream, closing_on_error, dial

Connect = Callable[[Connector, Uri], object]


def layer_of(call: Callable[[Connector, Uri], object]) -> Callable[[Connector], Connector]:
    return lambda inner: lambda uri: call(inner, uri)  # type: ignore[return-value]


async def bare_timeout(inner: Connector, uri: Uri) -> ByteStream:
    with anyio.fail_after(1.0):
        return await inner(uri)


async def gives_up(inner: Connector, uri: Uri) -> ByteStream | None:
    with anyio.move_on_after(1.0):
        return await inner(uri)
    return None


async def runtime_error_from(inner: Connector, uri: Uri) -> ByteStream:
    try:
        return await inner(uri)
    except ConnectError as error:
        raise RuntimeError("could not dial") from error


async def foreign_from_foreign(inner: Connector, uri: Uri) -> ByteStream:
    try:
        return await inner(uri)
    except ConnectError:
        raise
    except Exception as error:
        raise RuntimeError("could not dial") from error


async def always_fails(inner: Connector, uri: Uri) -> ByteStream:
    raise RuntimeError("a bug of mine")


@pytest.mark.parametrize(
    ("call", "cause", "message"),
    [
        (
            bare_timeout,
            TimeoutError,
            r"inner hung, but the layer raised TimeoutError\(\): .* a ConnectTimeout `from` it",
        ),
        (gives_up, type(None), "inner hung, but the layer returned None: raise a ConnectError"),
        (runtime_error_from, RuntimeError, "inner raised ConnectError, but the layer raised RuntimeError"),
        (foreign_from_foreign, RuntimeError, "inner raised ForeignError, but the layer raised RuntimeError"),
        (always_fails, RuntimeError, r"inner returned a stream, but the layer raised RuntimeError\('a bug of mine'\)"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_a_foreign_exception_is_found_and_is_the_cause(call: Connect, cause: type, message: str) -> None:
    with pytest.raises(AssertionError, match=message) as caught:
        await check_layer(layer_of(call))

    assert isinstance(caught.value.__cause__, cause)
    if cause is not type(None):
        assert f", in {call.__name__}\n" in "".join(traceback.format_exception(caught.value))


@pytest.mark.real_io
async def test_a_bare_timeout_is_found_in_real_time_too() -> None:
    async def bare(inner: Connector, uri: Uri) -> ByteStream:
        with anyio.fail_after(0.05):
            return await inner(uri)

    with pytest.raises(AssertionError, match="the layer raised TimeoutError"):
        await check_layer(layer_of(bare))


async def test_a_layers_own_timeout_may_be_a_connect_error() -> None:
    async def mapped(inner: Connector, uri: Uri) -> ByteStream:
        with dial(uri) as current:
            try:
                with anyio.fail_after(1.0):
                    return current.established(await inner(uri))
            except TimeoutError as error:
                if isinstance(error, ConnectError):
                    raise
                raise ConnectError("too slow") from error

    await check_layer(layer_of(mapped))


# --- layers that speak -----------------------------------------------------------------------------------------------


async def number(stream: ByteStream) -> None:
    await stream.send(b"+042")


def reads_a_number(
    parse: Callable[[bytes], object], *, limit: float | None = None, wait: bool = False
) -> Callable[[Connector], Connector]:
    def layer(inner: Connector) -> Connector:
        async def connect(uri: Uri, /) -> ByteStream:
            with dial(uri) as current:
                stream = await inner(uri)
                async with closing_on_error(stream):
                    with anyio.fail_after(limit):
                        data = b""
                        try:
                            while len(data) < 4:
                                data += await stream.receive(4 - len(data))
                            parse(data)
                            while wait and not data.startswith(b"+"):
                                await stream.receive(1)
                        except (anyio.EndOfStream, anyio.BrokenResourceError) as error:
                            raise ConnectError("it hung up") from error
                    return current.established(stream)

        return connect

    return layer


def careful(data: bytes) -> None:
    if not data[1:].isdigit():
        raise ConnectError("that is no number")


async def test_a_layer_that_reads_what_it_cannot_parse_with_care_passes() -> None:
    await check_layer(reads_a_number(careful), peer=number)


async def test_a_layer_that_waits_for_more_after_nonsense_is_told_that_nothing_comes() -> None:
    await check_layer(reads_a_number(lambda data: None, wait=True), peer=number)


async def test_a_foreign_exception_about_nonsense_is_found_and_is_the_cause() -> None:
    with pytest.raises(AssertionError, match=r"carried a wrong byte after 0 received bytes, .* ValueError") as caught:
        await check_layer(reads_a_number(int), peer=number)
    assert isinstance(caught.value.__cause__, ValueError)


async def test_a_bare_timeout_about_a_silent_far_end_is_found() -> None:
    with pytest.raises(AssertionError, match=r"went silent after 0 received bytes, .* raised TimeoutError") as caught:
        await check_layer(reads_a_number(careful, limit=5.0), peer=number)
    assert isinstance(caught.value.__cause__, TimeoutError)


# --- streams ---------------------------------------------------------------------------------------------------------


class FailingStream(WrappedStream):
    def __init__(self, inner: ByteStream, *, sends: bool) -> None:
        super().__init__(inner)
        self.sends = sends

    async def send(self, item: bytes) -> None:
        if not self.sends:
            raise LookupError("no key")
        await super().send(item)

    async def aclose(self) -> None:
        await super().aclose()
        raise LookupError("no key")


@pytest.mark.parametrize(
    ("sends", "message"),
    [(False, r"the layer's stream raised LookupError"), (True, r"closing the layer's stream raised LookupError")],
)
async def test_a_foreign_exception_of_the_layers_stream_is_the_cause(sends: bool, message: str) -> None:
    async def wraps(inner: Connector, uri: Uri) -> ByteStream:
        return FailingStream(await inner(uri), sends=sends)

    with pytest.raises(AssertionError, match=message) as caught:
        await check_layer(layer_of(wraps))
    assert isinstance(caught.value.__cause__, LookupError)


async def test_what_is_no_layer_is_a_type_error_and_no_group() -> None:
    def forgets(inner: Connector) -> Connector:  # type: ignore[return]
        stream_pair()

    with pytest.raises(TypeError, match="forgets returned None"):
        await check_layer(forgets)
    with pytest.raises(TypeError, match="MemoryStream is a class"):
        await check_layer(MemoryStream)  # type: ignore[arg-type]
