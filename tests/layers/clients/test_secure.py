"""TLS that a client starts by itself."""

from __future__ import annotations

import pytest
import sniffio
from anyio import ClosedResourceError
from anyio.streams.tls import TLSStream

from tests.layers.clients.servers import HOST, client_context, corner, echo, serve, server_context, until
from ziggurat.layers import ServiceBuilder
from ziggurat.layers.clients.secure import refuse_second_tls, secure
from ziggurat.services import TcpConnector, TlsError, TlsStream, Uri

pytestmark = pytest.mark.real_io


async def test_the_name_is_verified_and_our_own_stream_stays_our_own() -> None:
    async with corner() as here, serve(echo, server_context()) as port:
        stream = await secure(await here.connector(Uri("tcp", HOST, port)), client_context(), f"{HOST}.")
        async with stream:
            await stream.send(b"hello")
            assert await stream.receive() == b"hello"
        assert type(stream) is (TlsStream if sniffio.current_async_library() == "asyncio" else TLSStream)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("other.example", "certificate of other.example was refused"),
        (".example", "no valid TLS server name"),
    ],
)
async def test_another_name_is_refused_and_the_stream_is_closed(name: str, text: str) -> None:
    async with corner() as here, serve(echo, server_context()) as port:
        stream = await here.connector(Uri("tcp", HOST, port))
        with pytest.raises(TlsError, match=text):
            await secure(stream, client_context(), name)
        await until(lambda: not here.proxy.sessions)


async def test_tls_to_a_proxy_is_no_reason_to_refuse() -> None:
    """A stack may have done TLS, though with another host."""
    async with serve(echo, server_context()) as port:
        stack = ServiceBuilder().tls(client_context(), alpn=()).service(TcpConnector())
        stream = await stack(Uri("tcp", "127.0.0.1", port))
        refuse_second_tls(stream, HOST)
        with pytest.raises(TlsError, match=r"has done TLS with 127.0.0.1 already"):
            await secure(stream, client_context(), "127.0.0.1")
        with pytest.raises(ClosedResourceError):
            await stream.send(b"x")
