"""A local SOCKS5 server in front of a stack: any program that knows SOCKS5 gets its routes, retries and proxies."""

from __future__ import annotations

import anyio
from anyio import EndOfStream
from anyio.abc import ByteStream

from ziggurat.layers.events import EventLogger
from ziggurat.layers.forward.client_key import current_client
from ziggurat.layers.forward.handshake import BadClient, ServerHandshake, reply
from ziggurat.layers.forward.replies import reply_code
from ziggurat.layers.forward.server import LocalServer, Report
from ziggurat.services.service import Connector
from ziggurat.services.uri import Uri
from ziggurat.services.validation import check_seconds

__all__ = ["Socks5Listener"]

LINGER = 2.0
"""Seconds that a refused client gets to read the reply and close. A socket closed with unread bytes in it is reset, and
the client may never see the reply."""


class Socks5Listener(LocalServer):
    """A local SOCKS5 server (RFC 1928): CONNECT to a name, an IPv4 or an IPv6 address, which the connector dials.

    Names are not resolved here but by the connector, so that through a proxy they stay names. A failed dial is told to
    the client with the reply code that fits.

    Any user name and password is accepted. They keep nobody out: they are the `client_key` of the dial, by which a
    proxy further on can keep clients apart.

    Args:
        connector: dials the target, once for each client, with a `Uri` of scheme ``tcp``.
        max_connections: how many may be open at once; others wait to be accepted. ``None`` for no limit.
        idle_timeout: seconds without a byte in either direction, after which a connection is reset; ``None`` for no
            limit.
        drain: seconds that open connections get when the server stops, before they are reset.
        handshake_timeout: seconds from a client's connection to its complete request; ``None`` for no limit.
        report: is given the record of each connection when it has ended. It must not raise.
        logger: where ``forward.opened`` and ``forward.closed`` go, as for `LoggingLayer`.

    Raises:
        TypeError, ValueError: an argument is wrong.
    """

    _client_waits = True

    def __init__(
        self,
        connector: Connector,
        *,
        max_connections: int | None = 1000,
        idle_timeout: float | None = None,
        drain: float = 10.0,
        handshake_timeout: float | None = 10.0,
        report: Report | None = None,
        logger: EventLogger | None = None,
    ) -> None:
        super().__init__(connector, max_connections, idle_timeout, drain, report, logger)
        check_seconds("handshake_timeout", handshake_timeout)
        self.handshake_timeout = handshake_timeout

    async def _target(self, client: ByteStream) -> Uri:
        handshake = ServerHandshake()
        with anyio.move_on_after(self.handshake_timeout) as scope:
            await self._shake(client, handshake)
        if scope.cancelled_caught:
            raise BadClient(f"the client did not send its {handshake.state.value} within {self.handshake_timeout:g} s")
        assert handshake.target is not None
        current_client.set(_key(handshake.credentials))
        return handshake.target

    async def _shake(self, client: ByteStream, handshake: ServerHandshake) -> None:
        while handshake.wants:
            try:
                data = await client.receive(handshake.wants)
            except (EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                raise handshake.closed() from None
            try:
                handshake.receive(data)
            except BadClient:
                await self._send_last(client, handshake.outgoing())
                raise
            if answer := handshake.outgoing():
                try:
                    await client.send(answer)
                except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                    raise handshake.closed() from None

    async def _tell(self, client: ByteStream, error: Exception | None) -> None:
        if error is None:
            await client.send(reply(0))
        else:
            await self._send_last(client, reply(reply_code(error)))

    async def _send_last(self, client: ByteStream, message: bytes) -> None:
        """Send a message and let the client read it."""
        with anyio.move_on_after(LINGER):
            try:
                if message:
                    await client.send(message)
                    await client.send_eof()
                    while True:
                        await client.receive()
            except (EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
                pass  # it has read the message, or has left

    def __repr__(self) -> str:
        return f"Socks5Listener({self.connector!r}, {len(self._active)} open)"


def _key(credentials: tuple[bytes, bytes] | None) -> str:
    """Return what tells clients apart; two pairs never share one."""
    return "" if credentials is None else ":".join(part.hex() for part in credentials)
