"""A SOCKS5 proxy that follows a script: what it answers, in which pieces, with which delay and up to which byte.

::

    async with ScriptedProxy(reply=0xF0, split=1) as proxy:       # in memory
        await Socks5Layer("proxy.example").layer(proxy.connector())(uri)

    async with ScriptedProxy(auth=1).serve() as proxy_uri:        # on a socket on loopback
        ...
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import anyio
from anyio import BrokenResourceError, ClosedResourceError, EndOfStream
from anyio.abc import ByteStream

from ziggurat.layers.testing import socks5_messages as messages
from ziggurat.layers.testing.script import (
    CutError,
    CutWith,
    Manner,
    RecordingStream,
    Script,
    ScriptedServer,
    echo,
    hang_up,
)
from ziggurat.layers.testing.socks5_messages import Credentials, MalformedMessageError, Request
from ziggurat.services.uri import Uri

__all__ = ["ProxySession", "ScriptedProxy"]


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


class ScriptedProxy(ScriptedServer):
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
        super().__init__("socks5")
        self._manner = Manner(split, delay, cut, cut_with)
        self._method = bytes([messages.VERSION, method]) if isinstance(method, int) else method
        self._auth = bytes([messages.AUTH_VERSION, auth]) if isinstance(auth, int) else auth
        self._reply = messages.reply(reply, *bound) if isinstance(reply, int) else reply
        self._early = early
        self._target = target or echo
        self.sessions: list[ProxySession] = []

    async def handle(self, stream: ByteStream, uri: Uri | None = None) -> None:
        """Follow the script with one client on any byte stream, then close it. Errors of ``target`` propagate."""
        session = ProxySession(uri=uri)
        self.sessions.append(session)
        client = RecordingStream(stream, session.chunks)
        try:
            if await self._negotiate(Script(client, self._manner), session):
                client.stop()
                await self._target(client)
            else:
                await hang_up(client)
        except CutError:
            await self._manner.end(stream, client)
        except (EndOfStream, BrokenResourceError, ClosedResourceError, MalformedMessageError) as error:
            session.error = error
        finally:
            session.ended = True
            await anyio.aclose_forcefully(stream)

    async def _negotiate(self, script: Script, session: ProxySession) -> bool:
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

    def __repr__(self) -> str:
        return f"ScriptedProxy({len(self.sessions)} sessions)"
