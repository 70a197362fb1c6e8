"""The builder: order, reuse, and refused arguments."""

from __future__ import annotations

import anyio
import pytest
from anyio.abc import ByteStream

from ziggurat.layers import Isolated, ServiceBuilder, Stack, TimeoutLayer, UserPass
from ziggurat.layers.testing import mock_connector
from ziggurat.services import Connector, TcpConnector, Uri

URI = Uri.parse("http://target:80")


def tracing(name: str, trace: list[str]) -> object:
    def layer(inner: Connector) -> Connector:
        async def connect(uri: Uri) -> ByteStream:
            trace.append(name)
            return await inner(uri)

        return connect

    return layer


async def test_the_first_layer_added_sees_the_dial_first() -> None:
    trace: list[str] = []

    async def leaf(uri: Uri) -> ByteStream:
        trace.append(f"leaf {uri.host}")
        raise OSError("enough")

    stack = ServiceBuilder().layer(tracing("outer", trace)).layer(tracing("inner", trace)).service(leaf)  # type: ignore[arg-type]
    with pytest.raises(OSError, match="enough"):
        await stack(URI)

    assert trace == ["outer", "inner", "leaf target"]


def test_a_builder_is_not_changed_by_adding_to_it() -> None:
    base = ServiceBuilder().timeout(5.0)
    longer = base.keepalive(10.0)

    assert base.layers == (TimeoutLayer(5.0),)
    assert len(longer.layers) == 2
    assert base == ServiceBuilder().timeout(5.0)
    assert hash(base) == hash(ServiceBuilder().timeout(5.0))


async def test_each_stack_has_its_own_state() -> None:
    builder = ServiceBuilder().concurrency_limit(1, mode="reject", hold="stream")
    connector, handle = mock_connector()
    one, two = builder.service(connector), builder.service(connector)

    async with anyio.create_task_group() as group:
        streams: list[ByteStream] = []

        async def connect(stack: Stack) -> None:
            streams.append(await stack(URI))

        for stack in (one, two):
            group.start_soon(connect, stack)
            (await handle.next()).accept()

    assert len(streams) == 2
    for stream in streams:
        await stream.aclose()


def test_option_layer_adds_nothing_for_none() -> None:
    assert ServiceBuilder().option_layer(None).layers == ()
    assert ServiceBuilder().option_layer(TimeoutLayer(1.0)).layers == (TimeoutLayer(1.0),)


@pytest.mark.parametrize("wrong", [None, 5, "socks5", TimeoutLayer])
def test_anything_but_a_layer_is_a_type_error(wrong: object) -> None:
    with pytest.raises(TypeError, match=r"layer|instance"):
        ServiceBuilder().layer(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [[None], [TimeoutLayer], "socks5"])
def test_a_builder_of_anything_but_layers_is_a_type_error(wrong: object) -> None:
    with pytest.raises(TypeError, match=r"layer|instance"):
        ServiceBuilder(wrong)  # type: ignore[arg-type]


def test_a_layer_that_forgot_its_return_is_a_type_error_before_anything_is_dialled() -> None:
    def forgetful(inner: Connector) -> None:
        async def connect(uri: Uri) -> ByteStream:
            return await inner(uri)

    with pytest.raises(TypeError, match=r"forgetful returned None: `return` the connector"):
        ServiceBuilder().layer(forgetful).service(TcpConnector())  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [None, "tcp", TcpConnector])
def test_anything_but_a_connector_is_a_type_error(wrong: object) -> None:
    with pytest.raises(TypeError, match=r"connector|instance"):
        ServiceBuilder().service(wrong)  # type: ignore[arg-type]


def test_repr_is_outermost_first_with_settings_and_without_secrets() -> None:
    stack = (
        ServiceBuilder()
        .logging()
        .timeout(60.0, name="tunnel")
        .tls()
        .socks5("proxy.corp:1080", auth=UserPass("user", "hunter2"))
        .socks5("socks5://me:hunter2@first:1080")
        .socks5("127.0.0.1:9050", auth=Isolated())
        .concurrency_limit(3)
        .keepalive(10.0)
        .no_delay()
        .timeout(5.0, name="reach proxy")
        .service(TcpConnector())
    )
    text = repr(stack)

    names = ["Logging", "tunnel", "Tls", "proxy.corp", "first", "9050", "Concurrency", "KeepAlive", "NoDelay", "reach"]
    positions = [text.index(name) for name in [*names, "TcpConnector"]]
    assert positions == sorted(positions)
    assert "60.0" in text
    assert "hunter2" not in text
    assert str(stack).count("\n") == len(stack.layers)
