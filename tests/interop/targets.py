"""What lies behind a proxy: an echo, a server that speaks first, a port that refuses, and a gRPC server."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import anyio
from anyio import BrokenResourceError, EndOfStream
from anyio.abc import ByteStream, SocketAttribute, SocketStream

HOSTS = {"name": "localhost", "v4": "127.0.0.1", "v6": "::1"}
"""How a target on loopback is written; where it listens, too."""

UNKNOWN_NAME = "n" * 64 + ".test"
"""No resolver takes a label of 64 bytes (RFC 1035 2.3.4): looking it up fails at once and sends nothing."""

BANNER = b"220 I speak first\r\n" + bytes(range(256)) * 1200
"""More than one read of a proxy, and than a stream queues before it stops reading."""


LIMIT = 20.0
"""Seconds for anything to come back through a proxy."""


@asynccontextmanager
async def echo(host: str = "127.0.0.1", *, first: bytes = b"") -> AsyncIterator[int]:
    """Say ``first``, then echo until the client ends its side; gives the port."""

    async def serve(client: SocketStream) -> None:
        async with client:
            try:
                if first:
                    await client.send(first)
                while True:
                    await client.send(await client.receive())
            except (EndOfStream, BrokenResourceError):
                pass

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1" if host == "localhost" else host) as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, serve)
        yield listener.extra(SocketAttribute.local_port)
        tasks.cancel_scope.cancel()


@contextmanager
def refusing() -> Iterator[int]:
    """A port of 127.0.0.1 that refuses connections for the length of the block."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # without listen() a bound port refuses, and nobody else can get it
        yield bound.getsockname()[1]


async def read_exactly(stream: ByteStream, size: int) -> bytes:
    """The next ``size`` bytes, which have to come soon."""
    data = bytearray()
    with anyio.fail_after(LIMIT):
        while len(data) < size:
            data += await stream.receive(size - len(data))
    return bytes(data)
