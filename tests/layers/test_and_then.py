from __future__ import annotations

from typing import Any

import anyio
import pytest
from anyio.abc import ByteStream

from tests.layers.scripted import TARGET, Leaf
from ziggurat.layers.and_then import AndThenLayer
from ziggurat.layers.testing import check_layer, mock_connector
from ziggurat.services import ConnectError, ConnectTimeout, DialAttribute


async def hello(stream: ByteStream) -> ByteStream:
    await stream.send(b"hello\n")
    assert await stream.receive(3) == b"ok\n"
    return stream


async def welcome(stream: ByteStream) -> None:
    assert await stream.receive(6) == b"hello\n"
    await stream.send(b"ok\n")


async def quiet(stream: ByteStream) -> ByteStream:
    return stream


async def test_it_keeps_the_contracts_of_a_layer() -> None:
    await check_layer(AndThenLayer(quiet), transparent=True)


async def greet(stream: ByteStream) -> ByteStream:
    await stream.send(b"hello\n")
    if await stream.receive(1) != b"o":
        raise ConnectError("no welcome")
    return stream


async def welcome_shortly(stream: ByteStream) -> None:
    assert await stream.receive(6) == b"hello\n"
    await stream.send(b"o")


async def test_it_keeps_them_while_it_talks() -> None:
    await check_layer(AndThenLayer(greet, "hello", 30.0), peer=welcome_shortly, transparent=True)


async def test_it_is_a_phase_of_its_name_and_time() -> None:
    connector, handle = mock_connector()
    streams: list[ByteStream] = []

    async def dial_it() -> None:
        streams.append(await AndThenLayer(hello, "hello", 5.0).layer(connector)(TARGET))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(dial_it)
        await welcome((await handle.next()).accept())
    phases = streams[0].extra(DialAttribute.ledger).phases
    assert [(entry.name, entry.outcome, entry.limit) for entry in phases][1:] == [("hello", "ok", 5.0)]
    await streams[0].aclose()


async def test_a_silent_far_end_is_a_timeout_and_the_stream_is_closed() -> None:
    leaf = Leaf()
    with pytest.raises(ConnectTimeout) as caught:
        await AndThenLayer(hello, "hello", 5.0).layer(leaf)(TARGET)
    assert (caught.value.phase, caught.value.limit) == ("hello", 5.0)
    assert leaf.open == 0


async def test_a_lost_connection_is_a_connect_error() -> None:
    connector, handle = mock_connector()

    async def hang_up() -> None:
        await (await handle.next()).accept().aclose()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hang_up)
        with pytest.raises(ConnectError, match=r"and_then failed .* the connection was lost") as caught:
            await AndThenLayer(hello).layer(connector)(TARGET)
    assert caught.value.transient
    assert handle.open_streams == 0


@pytest.mark.parametrize("wrong", [None, b"ok"])
async def test_something_else_than_a_stream_is_a_mistake(wrong: Any) -> None:
    async def function(stream: ByteStream) -> Any:
        return wrong

    leaf = Leaf()
    with pytest.raises(TypeError, match="not a ByteStream"):
        await AndThenLayer(function).layer(leaf)(TARGET)
    assert leaf.open == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((None,), "function must be"), ((quiet, ""), "name must be"), ((quiet, "x", 0.0), "timeout must be")],
)
def test_wrong_settings_are_refused(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        AndThenLayer(*arguments)


def test_repr_names_the_function() -> None:
    assert repr(AndThenLayer(hello, "hi", 2.0)) == "AndThenLayer(hello, name='hi', timeout=2.0)"
