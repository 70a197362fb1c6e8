"""A working SOCKS5 server: CONNECT, with or without a password, relaying with half-close.

It is small, logs nothing and listens on loopback: for demonstrations and tests, not for a network.
"""

from __future__ import annotations

import errno
import socket
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

import anyio
from anyio import BrokenResourceError, ClosedResourceError, EndOfStream
from anyio.abc import ByteStream, SocketAttribute

from ziggurat.layers.testing import socks5_messages as messages
from ziggurat.layers.testing.socks5_messages import Credentials, MalformedMessageError, Request
from ziggurat.services.service import Connector
from ziggurat.services.system_error import system_error
from ziggurat.services.uri import Uri
from ziggurat.services.validation import check_seconds

__all__ = ["Socks5Server"]

KEPT_REQUESTS = 1000

REPLY_BY_ERRNO = {
    errno.ENETUNREACH: messages.NET_UNREACHABLE,
    errno.EHOSTUNREACH: messages.HOST_UNREACHABLE,
    errno.ETIMEDOUT: messages.TTL_EXPIRED,
    errno.ECONNREFUSED: messages.REFUSED,
    errno.EACCES: messages.NOT_ALLOWED,
    errno.EPERM: messages.NOT_ALLOWED,
}


class Socks5Server:
    """A working proxy.

    Args:
        users: passwords by username, encoded as UTF-8; ``None`` for no authentication.
        connector: reaches a target, with a `Uri` of scheme ``tcp``; ``None`` opens a TCP connection.
        handshake_timeout: seconds from a client's connection to its complete request.
        connect_timeout: seconds for reaching the target.

    Attributes:
        requests: the last thousand requests, oldest first.
        sessions: number of connected clients.
    """

    def __init__(
        self,
        users: Mapping[str, str] | None = None,
        *,
        connector: Connector | None = None,
        handshake_timeout: float = 10.0,
        connect_timeout: float = 60.0,
    ) -> None:
        for name, seconds in (("handshake_timeout", handshake_timeout), ("connect_timeout", connect_timeout)):
            check_seconds(name, seconds, optional=False)
        self.requests: deque[Request] = deque(maxlen=KEPT_REQUESTS)
        self.sessions = 0
        self._users = None if users is None else {name.encode(): word.encode() for name, word in users.items()}
        self._connect = connector or _connect_tcp
        self._handshake_timeout = handshake_timeout
        self._connect_timeout = connect_timeout

    @asynccontextmanager
    async def serve(self, host: str = "127.0.0.1", port: int = 0) -> AsyncGenerator[Uri, None]:
        """Listen for the duration of an ``async with`` block, and yield the proxy's Uri. Leaving it ends all sessions.

        Args:
            host: IP address to listen on.
            port: 0 for any free port.
        """
        async with (
            await anyio.create_tcp_listener(local_host=host, local_port=port) as listener,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(listener.serve, self.handle)
            yield Uri("socks5", host, listener.extra(SocketAttribute.local_port))
            tasks.cancel_scope.cancel()

    async def handle(self, client: ByteStream) -> None:
        """Serve one client on any byte stream, then close it."""
        self.sessions += 1
        try:
            target = await self._negotiate(client)
            if target is not None:
                try:
                    await relay(client, target)
                finally:
                    await anyio.aclose_forcefully(target)
            else:
                await self._let_read(client)
            await client.aclose()
        except (EndOfStream, BrokenResourceError, ClosedResourceError):
            pass  # the client has gone
        finally:
            self.sessions -= 1
            await anyio.aclose_forcefully(client)

    async def _negotiate(self, client: ByteStream) -> ByteStream | None:
        try:
            with anyio.fail_after(self._handshake_timeout):
                if not await self._admit(client):
                    return None
                request = await messages.read_request(client)
        except TimeoutError:
            return None
        except MalformedMessageError as error:
            await client.send(messages.reply(error.reply_code))
            return None
        self.requests.append(request)
        target: ByteStream | None = None
        try:
            code = messages.BAD_COMMAND
            if request.command == messages.CONNECT:
                code, target = await self._reach(request)
            await client.send(messages.reply(code))
        except BaseException:
            if target is not None:
                await anyio.aclose_forcefully(target)
            raise
        return target

    async def _let_read(self, client: ByteStream) -> None:
        # Closing a socket with unread data resets the connection, and the client would not see our refusal.
        with anyio.move_on_after(self._handshake_timeout):
            try:
                await client.send_eof()
            except OSError:
                return  # the client has gone: trio passes on the system's error
            while True:
                await client.receive()

    async def _admit(self, client: ByteStream) -> bool:
        methods = await messages.read_methods(client)
        wanted = messages.NO_AUTH if self._users is None else messages.USER_PASSWORD
        if wanted not in methods:
            await client.send(bytes([messages.VERSION, messages.NO_METHOD]))
            return False
        await client.send(bytes([messages.VERSION, wanted]))
        if self._users is None:
            return True
        given: Credentials = await messages.read_credentials(client)
        known = self._users.get(given.username) == given.password
        await client.send(bytes([messages.AUTH_VERSION, 0 if known else 1]))
        return known

    async def _reach(self, request: Request) -> tuple[int, ByteStream | None]:
        try:
            uri = Uri("tcp", request.host, request.port)
        except ValueError:
            return messages.FAILURE, None
        try:
            with anyio.fail_after(self._connect_timeout):
                return messages.SUCCEEDED, await self._connect(uri)
        except OSError as error:
            return _reply_code(error), None

    def __repr__(self) -> str:
        return f"Socks5Server({self.sessions} sessions, {len(self.requests)} requests)"


async def relay(left: ByteStream, right: ByteStream) -> None:
    """Copy both ways until both sides have ended, forwarding each EOF; a broken side ends the relay at once."""

    async def copy(source: ByteStream, sink: ByteStream) -> None:
        try:
            while True:
                await sink.send(await source.receive())
        except EndOfStream:
            try:
                await sink.send_eof()
            except (BrokenResourceError, ClosedResourceError, OSError):
                tasks.cancel_scope.cancel()
        except (BrokenResourceError, ClosedResourceError):
            tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(copy, left, right)
        tasks.start_soon(copy, right, left)


async def _connect_tcp(uri: Uri, /) -> ByteStream:
    return await anyio.connect_tcp(uri.host, uri.port)


def _reply_code(error: OSError) -> int:
    cause = system_error(error)
    if isinstance(cause, TimeoutError):
        return messages.TTL_EXPIRED
    if isinstance(cause, ConnectionRefusedError):
        return messages.REFUSED
    if isinstance(cause, socket.gaierror):
        return messages.HOST_UNREACHABLE
    return REPLY_BY_ERRNO.get(cause.errno or 0, messages.FAILURE) if isinstance(cause, OSError) else messages.FAILURE
