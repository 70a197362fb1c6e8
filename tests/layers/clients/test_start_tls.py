"""TLS on a transport, in the middle of a conversation."""

from __future__ import annotations

import asyncio
import ssl

import pytest
from anyio.abc import ByteStream
from anyio.streams.tls import TLSStream

from tests.layers.clients.servers import HOST, client_context, corner, echo, serve, server_context, until
from tests.layers.clients.test_attach import Client
from tests.services.tls_peers import NAME, Peer, trusting
from ziggurat.layers.clients import connect_protocol
from ziggurat.layers.clients.start_tls import start_tls
from ziggurat.layers.testing import stream_pair
from ziggurat.services import TcpConnector, TlsError, Uri, WrappedStream

pytestmark = [pytest.mark.asyncio_only, pytest.mark.real_io]


async def upgrade(stream: ByteStream) -> None:
    """Serve TLS after one byte in clear text, and speak first."""
    assert await stream.receive(1) == b"?"
    await stream.send(b"S")
    try:
        secured = await TLSStream.wrap(
            stream, server_side=True, ssl_context=server_context(), standard_compatible=False
        )
    except ssl.SSLError:
        return
    await secured.send(b"welcome ")
    await echo(secured)


async def asked(transport: asyncio.Transport, client: Client) -> None:
    transport.write(b"?")
    assert await client.receive(1) == b"S"
    client.data = b""


@pytest.mark.parametrize("pumped", [False, True])
async def test_it_secures_a_connection_through_a_proxy(pumped: bool) -> None:
    async with corner() as here, serve(upgrade) as port:

        async def dial(uri: Uri) -> ByteStream:
            stream = await here.connector(uri)
            return WrappedStream(stream) if pumped else stream

        transport, client = await connect_protocol(dial, Uri("tcp", HOST, port), Client)
        await asked(transport, client)
        secured = await start_tls(transport, client, client_context(), HOST)
        secured.write(b"hello")
        assert await client.receive(13) == b"welcome hello"
        assert secured.get_extra_info("ssl_object").version() == "TLSv1.3"
        secured.close()
        await client.lost.wait()


@pytest.mark.parametrize(
    ("name", "text"), [("other.example", "certificate of other.example was refused"), (".bad", "no valid TLS server")]
)
async def test_another_name_is_refused_and_the_connection_ended(name: str, text: str) -> None:
    async with corner() as here, serve(upgrade) as port:
        transport, client = await connect_protocol(here.connector, Uri("tcp", HOST, port), Client)
        await asked(transport, client)
        with pytest.raises(TlsError, match=text):
            await start_tls(transport, client, client_context(), name)
        await until(lambda: not here.proxy.sessions)


@pytest.mark.parametrize(("answer", "text"), [(b"", "closed the connection"), (b"HTTP/1.1 400 Bad", "TLS")])
async def test_a_server_without_tls_is_an_error_in_one_line(answer: bytes, text: str) -> None:
    async def refuse(stream: ByteStream) -> None:
        await stream.receive()
        if answer:
            await stream.send(answer)

    async with serve(refuse) as port:
        transport, client = await connect_protocol(TcpConnector(), Uri("tcp", "127.0.0.1", port), Client)
        with pytest.raises(TlsError, match=text):
            await start_tls(transport, client, client_context(), HOST)


async def test_a_lost_connection_is_an_error_in_one_line() -> None:
    near, far = stream_pair()

    async def memory(uri: Uri) -> ByteStream:
        return near

    transport, client = await connect_protocol(memory, Uri("tcp", HOST, 1), Client)
    task = asyncio.create_task(start_tls(transport, client, client_context(), HOST))
    await far.receive()
    far.reset()
    with pytest.raises(TlsError, match="during the TLS handshake"):
        await task


async def test_a_cancelled_handshake_ends_the_connection() -> None:
    near, far = stream_pair()

    async def memory(uri: Uri) -> ByteStream:
        return near

    transport, client = await connect_protocol(memory, Uri("tcp", HOST, 1), Client)
    task = asyncio.create_task(start_tls(transport, client, client_context(), HOST))
    await far.receive()
    task.cancel()
    await asyncio.wait([task])
    await until(lambda: near.closed)
    assert task.cancelled()


class Wire(asyncio.Transport):
    """A transport whose every byte the test carries."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.protocol: asyncio.Protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += data

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self.protocol = protocol

    def resume_reading(self) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    def take(self) -> bytes:
        data, self.sent = self.sent, b""
        return data


async def test_what_comes_right_behind_the_handshake_is_not_lost() -> None:
    wire, client, peer = Wire(), Client(), Peer()
    task = asyncio.create_task(start_tls(wire, client, trusting(), NAME))
    await until(lambda: wire.sent)
    wire.protocol.data_received(peer.feed(wire.take()))
    wire.protocol.data_received(peer.feed(wire.take()) + peer.records(b"220 "))
    wire.protocol.data_received(peer.records(b"ready"))  # before the task has had a turn
    secured = await task
    assert client.data == b"220 ready"
    secured.write(b"thanks")
    peer.feed(wire.take())
    assert peer.received == b"thanks"
