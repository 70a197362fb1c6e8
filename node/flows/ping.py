"""Pings: sent every two minutes, and answered at once."""

from __future__ import annotations

import secrets

import anyio

from ziggurat.node.peer import FlowError, Router
from ziggurat.node.wire import KaspadMessage, PingMessage, PongMessage
from ziggurat.services.validation import check_seconds

__all__ = ["PING_INTERVAL", "PONG_TIMEOUT", "PingResponder", "PingSender"]

PING_INTERVAL = 120.0
"""Seconds before the first ping and between pings, as in kaspad."""

PONG_TIMEOUT = 120.0
"""Seconds in which the peer must answer, as in kaspad."""


class PingResponder:
    """Answers each ping with a pong that has the same nonce."""

    types = ("ping",)

    def __init__(self, router: Router) -> None:
        self._router = router
        self._route = router.subscribe(*self.types)

    async def run(self) -> None:
        async for message in self._route:
            await self._router.answer(message, KaspadMessage(pong=PongMessage(nonce=message.ping.nonce)))


class PingSender:
    """Pings the peer and stores the round trip time in its `PeerInfo.ping`.

    Args:
        router: the connection to the peer.
        interval: the time before each ping, in seconds.

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
