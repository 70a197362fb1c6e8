"""Targets behind a proxy: an echo server, optionally with a banner, and a port that refuses connections."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import anyio
from anyio import BrokenResourceError, EndOfStream
from anyio.abc import ByteStream, SocketAttribute, SocketStream

HOSTS = {"name": "localhost", "v4": "127.0.0.1", "v6": "::1"}
"""Ways to write a loopback target, which are also the addresses to listen on."""

UNKNOWN_NAME = "n" * 64 + ".test"
"""A label of 64 bytes is invalid (RFC 1035 2.3.4): looking it up fails at once and sends nothing."""

BANNER = b"220 I speak first\r\n" + bytes(range(256)) * 1200
"""More than a proxy reads at once, and more than a stream queues before it stops reading."""


LIMIT = 20.0
"""Limit in seconds for a reply through a proxy."""


@asynccontextmanager
async def echo(host: str = "127.0.0.1", *, first: bytes = b"") -> AsyncIterator[int]:
    """Serve ``first``, then an echo until the client ends its side; yields the port."""

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
    """Reserve a port of 127.0.0.1 that refuses connections for the duration of the block."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # without listen() it refuses connections, and nothing else can take it
        yield bound.getsockname()[1]


async def read_exactly(stream: ByteStream, size: int) -> bytes:
    """Return the next ``size`` bytes; fail after `LIMIT` seconds."""
    data = bytearray()
    with anyio.fail_after(LIMIT):
        while len(data) < size:
            data += await stream.receive(size - len(data))
    return bytes(data)
