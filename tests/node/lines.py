"""A fake `MessageStream` whose peer is the test, and a router that runs on it."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

import anyio

from ziggurat.node.address import NetAddress
from ziggurat.node.peer.info import Direction, PeerInfo
from ziggurat.node.peer.router import Flow, Router
from ziggurat.node.wire.codec import Wanted
from ziggurat.node.wire.p2p_pb2 import KaspadMessage
from ziggurat.node.wire.stream import LossReason, StreamLost

ADDRESS = NetAddress.parse("10.0.0.2:16611")


class FakeStream:
    """A stream that receives what a test feeds it, and records in ``sent`` what we send."""

    def __init__(self) -> None:
        self.sent: list[KaspadMessage] = []
        self.cost = 1000
        self.closed = False
        self.lifted = False
        self.blocked = False  # the peer does not read
        self.unwritable: str | None = None
        self.lost: str | None = None
        self.loss_reason = LossReason.RESET
        self._received: deque[KaspadMessage] = deque()
        self._ended = False
        self._changed = anyio.Event()

    def feed(self, *messages: KaspadMessage) -> None:
        self._received.extend(messages)
        self._changed.set()

    def end(self) -> None:
        self._ended = True
        self._changed.set()

    def lose(self, reason: str) -> None:
        self.lost = reason
        self._changed.set()

    async def send(self, message: KaspadMessage, /) -> None:
        if self.blocked:
            await anyio.sleep_forever()
        if (reason := self.unwritable or self.lost) is not None:
            raise StreamLost(reason)
        self.sent.append(message)

    async def receive(self) -> KaspadMessage | None:
        while not self._received:
            if self.lost is not None:
                raise StreamLost(self.lost, self.loss_reason)
            if self._ended:
                return None
            self._changed = anyio.Event()
            await self._changed.wait()
        return self._received.popleft()

    def expect(self, wanted: Wanted, /) -> None:
        self.wanted = wanted

    def lift_limits(self) -> None:
        self.lifted = True

    async def aclose(self) -> None:
        self.closed = True

    def names(self) -> list[str | None]:
        return [message.WhichOneof("payload") for message in self.sent]


def info(id: bytes = b"p" * 16, direction: Direction = "outbound", address: NetAddress = ADDRESS) -> PeerInfo:
    return PeerInfo(id, address, direction, None, "/peer:1/", 11, "kaspa-devnet", 0, 0.0)


@asynccontextmanager
async def running_router(
    flows: Iterable[Flow] = (), on_close: Callable[[Router, str], None] | None = None
) -> AsyncIterator[tuple[Router, FakeStream]]:
    """Run a router on a fake stream, and close both at the end."""
    line = FakeStream()
    router = Router(line, info(), on_close=on_close)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(router.run)
        try:
            yield router, line
        finally:
            router.close("the test is over")
    assert line.closed


async def settle() -> None:
    """Wait until no task can go on without time passing."""
    await anyio.sleep(0.001)
