"""anyio's connectables, both ways."""

from __future__ import annotations

import anyio
import pytest
from anyio.abc import ByteStream, ByteStreamConnectable
from anyio.streams.tls import TLSConnectable

from tests.layers.clients.servers import HOST, client_context, corner, echo, serve, server_context
from ziggurat.layers import ServiceBuilder
from ziggurat.layers.clients import Connectable, ConnectableConnector
from ziggurat.services import (
    ConnectError,
    Connector,
    DialAttribute,
    ProxyAuthError,
    ResolveError,
    TcpConnector,
    Uri,
)

pytestmark = pytest.mark.real_io


def tcp(uri: Uri) -> ByteStreamConnectable:
    return anyio.TCPConnectable(uri.host, uri.port)


async def test_anyios_tls_over_a_stack() -> None:
    async with corner() as here, serve(echo, server_context()) as port:
        target = Connectable(here.connector, Uri("tcp", HOST, port))
        secured = TLSConnectable(target, hostname=HOST, ssl_context=client_context(), standard_compatible=False)
        async with await secured.connect() as stream:
            await stream.send(b"hello")
            assert await stream.receive() == b"hello"
            assert stream.extra(DialAttribute.ledger).target == target.uri


async def test_a_failed_dial_is_anyios_connection_failed() -> None:
    async with corner() as here:
        with pytest.raises(anyio.ConnectionFailed, match="check user name and password") as caught:
            await Connectable(here.stack("wrong"), Uri("tcp", HOST, 1)).connect()
        assert isinstance(caught.value.__cause__, ProxyAuthError)


async def test_layers_over_a_leaf_of_anyios() -> None:
    async with corner() as here, serve(echo) as port:
        stack = (
            ServiceBuilder().socks5(f"socks5://alice:s3cret@{here.uri.authority}").service(ConnectableConnector(tcp))
        )
        async with await stack(Uri("tcp", HOST, port)) as stream:
            await stream.send(b"hello")
            assert await stream.receive() == b"hello"
            names = [step.name for step in stream.extra(DialAttribute.ledger).phases]
            assert names == ["connectable", "proxy.greeting", "proxy.auth", "proxy.connect"]


async def test_a_failure_of_anyios_is_a_connect_error_in_one_line() -> None:
    with pytest.raises(ConnectError, match=r"connectable failed after .*: connection refused") as caught:
        await ConnectableConnector(tcp)(Uri("tcp", "127.0.0.1", 1))
    assert not caught.value.sent_to_target
    assert isinstance(caught.value.__cause__, anyio.ConnectionFailed)


async def test_a_failure_behind_a_handshake_may_have_sent_something() -> None:
    def tls(uri: Uri) -> ByteStreamConnectable:
        return TLSConnectable(tcp(uri), hostname="other.example", ssl_context=client_context())

    async with serve(echo, server_context()) as port:
        with pytest.raises(ConnectError) as caught:
            await ConnectableConnector(tls)(Uri("tcp", "127.0.0.1", port))
    assert caught.value.sent_to_target


async def test_an_error_of_ours_passes_unchanged() -> None:
    class Ours(ByteStreamConnectable):
        async def connect(self) -> ByteStream:
            raise ResolveError("no such name")

    connector: Connector = ConnectableConnector(lambda uri: Ours())
    with pytest.raises(ResolveError, match="no such name"):
        await connector(Uri("tcp", HOST, 1))


def test_both_say_what_they_are() -> None:
    target = Connectable(TcpConnector(), Uri("tcp", HOST, 1))

    assert target == Connectable(TcpConnector(), Uri("tcp", HOST, 1))
    assert repr(target).startswith("Connectable(connector=TcpConnector(")
