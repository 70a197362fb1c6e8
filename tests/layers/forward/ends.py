"""The two ends around a forwarder, on real sockets: a client and a target that can break in every way."""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
from anyio.to_thread import run_sync

from ziggurat.layers.forward import ForwardedConnection, Forwarder, ListenAddress
from ziggurat.services import Connector, TcpConnector


class End:
    """One end of a connection: a plain socket."""

    def __init__(self, raw: socket.socket) -> None:
        raw.setblocking(False)
        self.raw = raw

    async def send(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self.raw.send(rest) :]
            except BlockingIOError:
                await anyio.wait_writable(self.raw)

    async def receive(self, size: int = 65536) -> bytes:
        """Return what has come; empty at the end. Raises ``ConnectionResetError``."""
        while True:
            try:
                return self.raw.recv(size)
            except BlockingIOError:
                await anyio.wait_readable(self.raw)

    async def exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size and (more := await self.receive(min(size - len(data), 1 << 20))):
            data += more
        return bytes(data)

    async def rest(self) -> bytes:
        """Return everything until the end."""
        return await self.exactly(1 << 40)

    async def is_reset(self) -> bool:
        """Wait for the end; return whether it was a reset."""
        try:
            while await self.receive():
                pass
        except ConnectionResetError:
            return True
        return False

    def fill(self) -> int:
        """Send until the system takes no more; return the number of bytes."""
        sent = 0
        try:
            while True:
                sent += self.raw.send(b"z" * 65536)
        except BlockingIOError:
            return sent

    def end(self) -> None:
        self.raw.shutdown(socket.SHUT_WR)

    def break_off(self) -> None:
        self.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.raw.close()

    def close(self) -> None:
        self.raw.close()

    async def __aenter__(self) -> End:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.raw.close()


async def connect(to: ListenAddress) -> End:
    if to.path:
        raw = socket.socket(socket.AF_UNIX)
        raw.connect(to.path)
        return End(raw)
    return End(await run_sync(socket.create_connection, (to.host, to.port)))


class Targets:
    """A listening socket, and the connections that reach it."""

    def __init__(self, raw: socket.socket) -> None:
        raw.setblocking(False)
        self.raw = raw
        self.port: int = raw.getsockname()[1]

    async def next(self) -> End:
        while True:
            try:
                return End(self.raw.accept()[0])
            except BlockingIOError:
                await anyio.wait_readable(self.raw)


@asynccontextmanager
async def targets() -> AsyncIterator[Targets]:
    with socket.create_server(("127.0.0.1", 0), backlog=512) as raw:
        yield Targets(raw)


async def until(holds: Callable[[], object]) -> None:
    with anyio.fail_after(10):
        while not holds():  # noqa: ASYNC110  (nothing tells us)
            await anyio.sleep(0.001)


class Field:
    """A forwarder, with its client and its target's listener."""

    def __init__(self, forwarder: Forwarder, address: ListenAddress, far: Targets) -> None:
        self.forwarder = forwarder
        self.address = address
        self.far = far
        self.ended: list[ForwardedConnection] = []

    async def pair(self) -> tuple[End, End]:
        opened = self.forwarder.counters.opened
        client = await connect(self.address)
        target = await self.far.next()
        await until(lambda: self.forwarder.counters.opened > opened)
        return client, target


@asynccontextmanager
async def field(
    connector: Connector | None = None, *, listen: str = "127.0.0.1:0", drain: float = 10.0, **settings: float | None
) -> AsyncIterator[Field]:
    with anyio.fail_after(30):
        async with targets() as far:
            ended: list[ForwardedConnection] = []
            forwarder = Forwarder(
                connector or TcpConnector(),
                f"127.0.0.1:{far.port}",
                drain=drain,
                report=ended.append,
                **settings,  # type: ignore[arg-type]
            )
            async with forwarder.serve(listen) as address:
                there = Field(forwarder, address, far)
                there.ended = ended
                yield there
            assert forwarder.counters.open == 0
