"""Is the peer there? Asked each two minutes, and answered at once."""

from __future__ import annotations

import secrets

import anyio

from ziggurat.node.peer import FlowError, Router
from ziggurat.node.wire import KaspadMessage, PingMessage, PongMessage
from ziggurat.services.validation import check_seconds

__all__ = ["PING_INTERVAL", "PONG_TIMEOUT", "PingResponder", "PingSender"]

PING_INTERVAL = 120.0
"""Seconds between two pings, and to the first one; as kaspad."""

PONG_TIMEOUT = 120.0
"""Seconds that the peer has to answer; as kaspad."""


class PingResponder:
    """Sends each ping's nonce back."""

    types = ("ping",)

    def __init__(self, router: Router) -> None:
        self._router = router
        self._route = router.subscribe(*self.types)

    async def run(self) -> None:
        async for message in self._route:
            await self._router.answer(message, KaspadMessage(pong=PongMessage(nonce=message.ping.nonce)))


class PingSender:
    """Measures the round trip, which is the peer's `PeerInfo.ping`.

    Args:
        router: the peer's.
        interval: seconds before each ping.

    Raises:
        ValueError: ``interval`` is not positive.
    """

    types = ("pong",)

    def __init__(self, router: Router, interval: float = PING_INTERVAL) -> None:
        check_seconds("interval", interval, optional=False)
        self._router = router
        self._interval = interval
        self._route = router.subscribe(*self.types)

    async def run(self) -> None:
        while True:
            await anyio.sleep(self._interval)
            nonce = secrets.randbits(64)
            started = anyio.current_time()
            await self._router.send(KaspadMessage(ping=PingMessage(nonce=nonce), request_id=self._route.id))
            answer = await self._route.receive(PONG_TIMEOUT)
            if answer.WhichOneof("payload") != "pong" or answer.pong.nonce != nonce:
                raise FlowError("nonce mismatch between ping and pong")
            self._router.record_ping(anyio.current_time() - started)
