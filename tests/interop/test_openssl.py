"""Our TLS stream against ``openssl s_server``, which can do what Python's ssl module cannot ask for."""

from __future__ import annotations

import asyncio
import re
import ssl
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.lowlevel import checkpoint

from tests.interop.programs import find
from tests.services.test_tls_transport import Taker
from tests.services.tls_peers import CERTIFICATE, NAME, trusting, until
from ziggurat.services import TcpConnector, TlsStream, TransportStream, Uri
from ziggurat.services.tls_transport import TlsTransport

pytestmark = [pytest.mark.real_io, pytest.mark.asyncio_only]

VERSIONS = {"-tls1_2": ssl.TLSVersion.TLSv1_2, "-tls1_3": ssl.TLSVersion.TLSv1_3}


class Server:
    """A running ``openssl s_server``, connected to one client."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.output = b""

    def type(self, line: str) -> None:
        """Type a line: a command if it begins with one's letter, else data for the client.

        The server takes all that one ``read()`` returns for one command if the first letter is a command's, and so
        drops a line that follows too soon: after a command, wait for its effect before the next line.
        """
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")

    async def read_until(self, text: bytes) -> None:
        """Read what it prints, the client's data among it."""
        assert self.process.stdout is not None
        while text not in self.output:
            data = await asyncio.wait_for(self.process.stdout.read(65536), 20)
            assert data, self.output
            self.output += data


@asynccontextmanager
async def s_server(directory: Path, version: str, *flags: str) -> AsyncIterator[tuple[TlsStream, Server]]:
    certificate = directory / "certificate.pem"
    CERTIFICATE.private_key_and_cert_chain_pem.write_to_path(certificate)
    process = await asyncio.create_subprocess_exec(
        *(
            find("openssl", "openssl"),
            "s_server",
            "-accept",
            "127.0.0.1:0",
            "-cert",
            str(certificate),
            "-naccept",
            "1",
            version,
            *flags,
        ),
        stdin=PIPE,
        stdout=PIPE,
        stderr=STDOUT,
    )
    try:
        server = Server(process)
        await server.read_until(b"ACCEPT 127.0.0.1:")
        await server.read_until(b"\n")
        port = re.findall(rb"ACCEPT 127.0.0.1:(\d+)\n", server.output)
        inner = await TcpConnector()(Uri("https", "127.0.0.1", int(port[0])))
        assert type(inner) is TransportStream
        stream = await TlsStream.wrap(inner, trusting(version=VERSIONS[version]), NAME)
        yield stream, server
        await stream.aclose()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        # Close the pipes within this loop.
        process._transport.close()  # type: ignore[attr-defined]
        await asyncio.sleep(0)


@asynccontextmanager
async def handed_over(directory: Path, version: str, *flags: str) -> AsyncIterator[tuple[TlsTransport, Taker, Server]]:
    async with s_server(directory, version, *flags) as (stream, server):
        taker = Taker(stream)
        transport = stream.hand_over(taker)
        assert type(transport) is TlsTransport
        yield transport, taker, server
        transport.abort()


async def exchange(transport: TlsTransport, taker: Taker, server: Server, number: int) -> None:
    """Send a line each way."""
    taker.data.clear()
    server.type(f"+ from the server {number}")
    transport.write(b"from the client %d\n" % number)
    await server.read_until(b"from the client %d\n" % number)
    with anyio.fail_after(20):
        while b"+ from the server %d\n" % number not in taker.data:
            await checkpoint()


@pytest.mark.parametrize("command", ["k", "K"])
async def test_key_updates(tmp_path: Path, command: str) -> None:
    async with handed_over(tmp_path, "-tls1_3", "-msg") as (transport, taker, server):
        for number in range(5):
            await exchange(transport, taker, server, number)
            server.output = b""
            server.type(command)
            await server.read_until(b">>> TLS 1.3, Handshake [length 0005], KeyUpdate")
        await exchange(transport, taker, server, 5)
        assert not taker.lost


async def test_writes_during_a_renegotiation_wait_and_arrive_in_order(tmp_path: Path) -> None:
    async with handed_over(tmp_path, "-tls1_2") as (transport, taker, server):
        await exchange(transport, taker, server, 0)
        server.type("r")
        held = 0
        lines = [b"line %d\n" % number for number in range(20_000)]
        for line in lines:
            transport.write(line)
            size = transport.get_write_buffer_size()
            held = max(held, len(transport._session.backlog))
            assert size >= len(transport._session.backlog)
            if held and not transport._session.backlog:
                break
            await asyncio.sleep(0)
        assert held, "it has not renegotiated"
        assert taker.calls[-2:] == ["pause", "resume"]
        sent = lines[: lines.index(line) + 1]
        await server.read_until(sent[-1])
        assert re.findall(rb"line \d+\n", server.output) == sent
        await exchange(transport, taker, server, 1)
        assert not taker.lost


async def test_a_close_during_a_renegotiation_sends_what_waits_first(tmp_path: Path) -> None:
    async with handed_over(tmp_path, "-tls1_2") as (transport, taker, server):
        await exchange(transport, taker, server, 0)
        server.type("r")
        for _ in range(20_000):
            transport.write(b".")
            if transport._session.backlog:
                break
            await asyncio.sleep(0)
        assert transport._session.backlog
        transport.write(b"last words\n")
        transport.close()
        assert not taker.lost
        await server.read_until(b"last words\n")
        await until(lambda: taker.lost)
        assert taker.error is None


@pytest.mark.parametrize("receiving", [True, False])
async def test_a_stream_sends_during_a_renegotiation_whether_or_not_someone_receives(
    tmp_path: Path, receiving: bool
) -> None:
    async with s_server(tmp_path, "-tls1_2") as (stream, server):
        reader = asyncio.create_task(stream.receive()) if receiving else None
        before = stream._session.ssl_object.get_channel_binding()
        server.type("r")
        lines: list[bytes] = []
        with anyio.fail_after(20):
            while stream._session.ssl_object.get_channel_binding() == before:
                lines.append(b"line %d\n" % len(lines))
                await stream.send(lines[-1])
                if not receiving and len(lines) % 100 == 0:
                    await receive_briefly(stream)
        await server.read_until(lines[-1])
        assert re.findall(rb"line \d+\n", server.output) == lines
        server.type("+ hello")
        received = await (reader or stream.receive())
        while b"+ hello\n" not in received:
            received += await stream.receive()


async def receive_briefly(stream: TlsStream) -> None:
    """OpenSSL sees that the server wants to renegotiate when it reads."""
    with anyio.move_on_after(0.01):
        await stream.receive()
