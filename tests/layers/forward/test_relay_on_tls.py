"""The relay with TLS towards the target, on real sockets: its end of one direction, as far as TLS has one."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
import sniffio
import trustme
from anyio import EndOfStream
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSListener

from tests.layers.forward.ends import connect
from ziggurat.layers import ServiceBuilder
from ziggurat.layers.forward import ForwardedConnection, Forwarder
from ziggurat.services import TcpConnector

pytestmark = pytest.mark.real_io

MANY = bytes(range(256)) * 4096


@asynccontextmanager
async def server(version: ssl.TLSVersion) -> AsyncIterator[tuple[int, ssl.SSLContext]]:
    """A server that reads until the end, then answers with what it has read, twice, and closes."""
    authority = trustme.CA()
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.maximum_version = version
    authority.issue_cert("localhost").configure_cert(theirs)
    ours = ssl.create_default_context()
    authority.configure_trust(ours)

    async def serve(stream: ByteStream) -> None:
        data = b""
        try:
            while len(data) < len(MANY):
                data += await stream.receive()
            if version is ssl.TLSVersion.TLSv1_3 and sniffio.current_async_library() == "asyncio":
                with pytest.raises(EndOfStream):
                    await stream.receive()
            await stream.send(data * 2)
        finally:
            await stream.aclose()

    tcp = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with TLSListener(tcp, theirs, standard_compatible=False) as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        yield tcp.extra(SocketAttribute.local_port), ours
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_client_without_tls_that_ends_gets_the_whole_answer(version: ssl.TLSVersion) -> None:
    records: list[ForwardedConnection] = []
    with anyio.fail_after(20):
        async with server(version) as (port, context):
            stack = ServiceBuilder().tls(context, alpn=()).service(TcpConnector())
            forwarder = Forwarder(stack, f"localhost:{port}", report=records.append)
            async with forwarder.serve() as address, await connect(address) as client:
                await client.send(MANY)
                client.end()
                assert await client.rest() == MANY * 2
    assert [(each.sent, each.received, each.error) for each in records] == [(len(MANY), 2 * len(MANY), None)]
