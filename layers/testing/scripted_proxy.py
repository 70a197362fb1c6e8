"""A SOCKS5 proxy that follows a script: what it answers, in which pieces, with which delay and up to which byte.

::

    async with ScriptedProxy(reply=0xF0, split=1) as proxy:       # in memory
        await Socks5Layer("proxy.example").layer(proxy.connector())(uri)

    async with ScriptedProxy(auth=1).serve() as proxy_uri:        # on a socket on loopback
        ...
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, TypeAlias

import anyio
from anyio import BrokenResourceError, ClosedResourceError, EndOfStream
from anyio.abc import ByteStream, TaskGroup

from ziggurat.layers.testing import socks5_messages as messages
from ziggurat.layers.testing.faults import FaultStream
from ziggurat.layers.testing.loopback import SocketByteStream, serve_loopback
from ziggurat.layers.testing.memory import MemoryStream, stream_pair
from ziggurat.layers.testing.socks5_messages import Credentials, MalformedMessageError, Request
from ziggurat.services.dial import dial
from ziggurat.services.service import Connector
from ziggurat.services.uri import Uri
from ziggurat.services.validation import check_count, check_seconds

__all__ = ["ProxySession", "ScriptedProxy"]

CutWith: TypeAlias = Literal["eof", "reset", "stall"]


@dataclass(slots=True)
class ProxySession:
    """The record of one client.

    Attributes:
        methods: the methods that it offered; ``None`` until then.
        credentials: the username and password that it sent, or ``None``.
        request: the request that it sent, or ``None``.
        chunks: the data that it sent before the tunnel was open, one entry per write (in memory; a socket may merge
            writes).
        uri: the Uri that the in-memory connector was called with; ``None`` on a socket.
        error: how the connection broke, or what the client did wrong; ``None`` if neither.
        ended: whether the session has ended.
    """

    methods: tuple[int, ...] | None = None
    credentials: Credentials | None = None
    request: Request | None = None
    chunks: list[bytes] = field(default_factory=list[bytes])
    uri: Uri | None = None
    error: Exception | None = None
    ended: bool = False

    @property
    def received(self) -> bytes:
        """All data that it sent before the tunnel was open."""
        return b"".join(self.chunks)


class _CutError(Exception):
    """The script has reached the cut."""


class ScriptedProxy:
    """A proxy that follows a script. Bytes in place of a number are sent as they are.

    Args:
        method: the method to choose, or the whole answer to the greeting; ``None`` chooses username and password if
            offered, else the first method offered. If the answer chooses neither 0 nor 2, the proxy hangs up.
        auth: the status to answer credentials with, or the whole answer; unless the status is 0, the proxy hangs up.
        reply: the code to answer the request with, or the whole reply; unless the code is 0, the proxy hangs up.
        bound: host and port in the reply; the host determines the address type.
        early: the target's first bytes, sent in the same write as the reply.
        split: bytes per write; ``None`` writes each answer in one piece.
        delay: seconds before each write.
        cut: how many bytes to send in all before the connection ends; ``None`` for no cut.
        cut_with: how the connection ends at the cut: ``eof``, ``reset``, or ``stall``, which stays open and silent.
        target: handles the open tunnel; ``None`` echoes.

    Attributes:
        sessions: the record of each client, in order.

    Raises:
        TypeError, ValueError: an argument is wrong.
    """

    def __init__(
        self,
        *,
        method: int | bytes | None = None,
        auth: int | bytes = 0,
        reply: int | bytes = 0,
        bound: tuple[str, int] = ("0.0.0.0", 0),
        early: bytes = b"",
        split: int | None = None,
        delay: float = 0.0,
        cut: int | None = None,
        cut_with: CutWith = "eof",
        target: Callable[[ByteStream], Awaitable[object]] | None = None,
    ) -> None:
        check_count("split", split, unit="bytes")
        check_count("cut", cut, minimum=0, unit="bytes")
        check_seconds("delay", delay, zero=True, optional=False)
        if cut_with not in ("eof", "reset", "stall"):
            raise ValueError(f"cut_with must be 'eof', 'reset' or 'stall', not {cut_with!r}")
        self._method = bytes([messages.VERSION, method]) if isinstance(method, int) else method
        self._auth = bytes([messages.AUTH_VERSION, auth]) if isinstance(auth, int) else auth
        self._reply = messages.reply(reply, *bound) if isinstance(reply, int) else reply
        self._early = early
        self._split = split
        self._delay = delay
        self._cut = cut
        self._cut_with: CutWith = cut_with
        self._target = target or _echo
        self._tasks: TaskGroup | None = None
        self.sessions: list[ProxySession] = []

    async def __aenter__(self) -> ScriptedProxy:
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        assert self._tasks is not None
        tasks, self._tasks = self._tasks, None
        tasks.cancel_scope.cancel()
        return await tasks.__aexit__(kind, error, trace)

    def connector(self) -> Connector:
        """Return a leaf that reaches this proxy in memory, whatever the Uri; for use inside ``async with``."""

        async def connect(uri: Uri, /) -> ByteStream:
            if self._tasks is None:
                raise RuntimeError("use a scripted proxy's connector inside `async with proxy:`")
            with dial(uri) as current:
                near, far = stream_pair()
                self._tasks.start_soon(self.handle, far, uri)
                return current.established(near)

        return connect

    @asynccontextmanager
    async def serve(self) -> AsyncGenerator[Uri, None]:
        """Listen on loopback for the duration of an ``async with`` block, and yield the proxy's Uri."""
        async with serve_loopback(self.handle) as port:
            yield Uri("socks5", "127.0.0.1", port)

    async def handle(self, stream: ByteStream, uri: Uri | None = None) -> None:
        """Follow the script with one client on any byte stream, then close it. Errors of ``target`` propagate."""
        session = ProxySession(uri=uri)
        self.sessions.append(session)
        client = RecordingStream(stream, session.chunks)
        try:
            if await self._negotiate(_Script(client, self._split, self._delay, self._cut), session):
                client.stop()
                await self._target(client)
            else:
                await _hang_up(client)
        except _CutError:
            await self._end(stream, client)
        except (EndOfStream, BrokenResourceError, ClosedResourceError, MalformedMessageError) as error:
            session.error = error
        finally:
            session.ended = True
            await anyio.aclose_forcefully(stream)

    async def _negotiate(self, script: _Script, session: ProxySession) -> bool:
        client = script.client
        session.methods = await messages.read_methods(client)
        answer = self._method
        if answer is None:
            choice = (
                *(m for m in session.methods if m == messages.USER_PASSWORD),
                *session.methods,
                messages.NO_METHOD,
            )[0]
            answer = bytes([messages.VERSION, choice])
        await script.say(answer)
        if answer == bytes([messages.VERSION, messages.USER_PASSWORD]):
            session.credentials = await messages.read_credentials(client)
            await script.say(self._auth)
            if self._auth[1:] != b"\0":
                return False
        elif answer != bytes([messages.VERSION, messages.NO_AUTH]):
            return False
        session.request = await messages.read_request(client)
        await script.say(self._reply + self._early)
        return self._reply[1:2] == b"\0"

    async def _end(self, stream: ByteStream, client: RecordingStream) -> None:
        if self._cut_with == "stall":
            await _discard(client)
        elif self._cut_with == "eof":
            await _hang_up(client)
        elif isinstance(stream, (MemoryStream, SocketByteStream)):
            stream.reset()
        else:
            raise TypeError(f"cut_with='reset' works in memory and on serve(), not on {stream!r}")

    def __repr__(self) -> str:
        return f"ScriptedProxy({len(self.sessions)} sessions)"


class RecordingStream(FaultStream):
    """A stream that records received chunks in ``chunks`` and returns them in the requested sizes."""

    def __init__(self, inner: ByteStream, chunks: list[bytes]) -> None:
        super().__init__(inner)
        self._chunks: list[bytes] | None = chunks
        self._rest = b""

    async def receive(self, max_bytes: int = 65536) -> bytes:
        if not self._rest:
            self._rest = await super().receive()
            if self._chunks is not None:
                self._chunks.append(self._rest)
        data, self._rest = self._rest[:max_bytes], self._rest[max_bytes:]
        return data

    def stop(self) -> None:
        """Stop recording."""
        self._chunks = None


class _Script:
    """The proxy's side of a conversation: sends in pieces and up to the cut."""

    def __init__(self, client: RecordingStream, split: int | None, delay: float, cut: int | None) -> None:
        self.client = client
        self._split = split
        self._delay = delay
        self._left = cut

    async def say(self, data: bytes) -> None:
        size = self._split or len(data) or 1
        for start in range(0, len(data), size):
            piece = data[start : start + size]
            allowed = piece if self._left is None else piece[: self._left]
            if self._delay:
                await anyio.sleep(self._delay)
            if allowed:
                await self.client.send(allowed)
            if self._left is not None:
                self._left -= len(allowed)
                if not self._left:
                    raise _CutError


async def _echo(stream: ByteStream) -> None:
    while True:
        await stream.send(await stream.receive())


async def _hang_up(stream: ByteStream) -> None:
    # Closing a socket with unread data resets it, and what was sent last is lost: let the client end first.
    try:
        await stream.send_eof()
    except (BrokenResourceError, ClosedResourceError):
        return
    await _discard(stream)


async def _discard(stream: ByteStream) -> None:
    try:
        while True:
            await stream.receive()
    except (EndOfStream, BrokenResourceError, ClosedResourceError):
        pass
