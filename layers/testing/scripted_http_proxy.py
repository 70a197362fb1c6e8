"""An HTTP proxy that follows a script: its answers to CONNECT, in which pieces, with which delay and up to which byte.

::

    async with ScriptedHttpProxy(HttpReply(403, body=b"<title>Forbidden port</title>")) as proxy:      # in memory
        await HttpConnectLayer("proxy.example:3128").layer(proxy.connector())(uri)

    async with ScriptedHttpProxy(HttpReply(407, headers=[("Proxy-Authenticate", "NTLM")]), HttpReply()).serve() as uri:
        ...                                                                             # on a socket on loopback
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import anyio
import h11
from anyio import BrokenResourceError, ClosedResourceError, EndOfStream
from anyio.abc import ByteStream

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
from ziggurat.services.uri import Uri

__all__ = ["HttpProxySession", "HttpReply", "HttpRequest", "ScriptedHttpProxy"]


@dataclass(frozen=True, slots=True)
class HttpReply:
    """One answer of a scripted proxy. Nothing is checked: a test may want a wrong one.

    Attributes:
        status: 2xx opens the tunnel.
        phrase: the text behind the status.
        headers: the fields, in order.
        body: what follows them. A ``Content-Length`` is added for it, unless ``headers`` has one, or a
            ``Transfer-Encoding``, or the status is below 300.
        version: the HTTP version in the status line.
        before: bytes sent in front of it, e.g. a 1xx response.
        close: whether the proxy hangs up afterwards; ``None`` for unless it is a 2xx, or a 407 that is not the script's
            last answer.
    """

    status: int = 200
    phrase: str = "Connection established"
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    version: str = "1.1"
    before: bytes = b""
    close: bool | None = None

    def encode(self) -> bytes:
        """Return its bytes."""
        names = {name.lower() for name, _ in self.headers}
        fields = list(self.headers)
        if self.status >= 300 and not names & {"content-length", "transfer-encoding"}:
            fields.append(("Content-Length", str(len(self.body))))
        line = f"HTTP/{self.version} {self.status} {self.phrase}".rstrip()
        head = "\r\n".join([line, *(f"{name}: {value}" for name, value in fields), "", ""])
        return self.before + head.encode("latin-1") + self.body


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request of a client. ``headers`` are in order, their names in lower case."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]

    def header(self, name: str) -> str | None:
        """Return the value of the first field of that name; ``None`` if there is none."""
        return next((value for field, value in self.headers if field == name.lower()), None)


@dataclass(slots=True)
class HttpProxySession:
    """The record of one client.

    Attributes:
        requests: its requests, in order.
        chunks: the data that it sent before the tunnel was open, one entry per write (in memory; a socket may merge
            writes).
        uri: the Uri that the in-memory connector was called with; ``None`` on a socket.
        error: how the connection broke, or what the client did wrong; ``None`` if neither.
        ended: whether the session has ended.
    """

    requests: list[HttpRequest] = field(default_factory=list[HttpRequest])
    chunks: list[bytes] = field(default_factory=list[bytes])
    uri: Uri | None = None
    error: Exception | None = None
    ended: bool = False


class ScriptedHttpProxy(ScriptedServer):
    """An HTTP proxy that follows a script.

    Args:
        replies: the answers to the requests of each connection, in order; none means one 200. `bytes` are sent as they
            are, and open the tunnel if they are a 2xx response. After the last one the proxy hangs up, unless it opened
            the tunnel.
        early: the target's first bytes, sent in the same write as a 2xx.
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
        *replies: HttpReply | bytes,
        early: bytes = b"",
        split: int | None = None,
        delay: float = 0.0,
        cut: int | None = None,
        cut_with: CutWith = "eof",
        target: Callable[[ByteStream], Awaitable[object]] | None = None,
    ) -> None:
        super().__init__("http")
        self._manner = Manner(split, delay, cut, cut_with)
        self._replies = replies or (HttpReply(),)
        self._early = early
        self._target = target or echo
        self.sessions: list[HttpProxySession] = []

    async def handle(self, stream: ByteStream, uri: Uri | None = None) -> None:
        """Follow the script with one client on any byte stream, then close it. Errors of ``target`` propagate."""
        session = HttpProxySession(uri=uri)
        self.sessions.append(session)
        client = RecordingStream(stream, session.chunks)
        try:
            if await self._converse(Script(client, self._manner), session):
                client.stop()
                await self._target(client)
            else:
                await hang_up(client)
        except CutError:
            await self._manner.end(stream, client)
        except (EndOfStream, BrokenResourceError, ClosedResourceError, h11.RemoteProtocolError) as error:
            session.error = error
        finally:
            session.ended = True
            await anyio.aclose_forcefully(stream)

    async def _converse(self, script: Script, session: HttpProxySession) -> bool:
        """Answer requests; return whether the tunnel is open."""
        for index, reply in enumerate(self._replies):
            session.requests.append(await _read_request(script.client))
            data = reply if isinstance(reply, bytes) else reply.encode()
            opens = data[9:10] == b"2" if isinstance(reply, bytes) else 200 <= reply.status < 300
            await script.say(data + (self._early if opens else b""))
            if opens:
                return True
            last = index == len(self._replies) - 1
            close = None if isinstance(reply, bytes) else reply.close
            if last if close is None else close:
                break
        return False

    def __repr__(self) -> str:
        return f"ScriptedHttpProxy({len(self.sessions)} sessions)"


async def _read_request(client: RecordingStream) -> HttpRequest:
    connection = h11.Connection(h11.SERVER)
    while not isinstance(event := connection.next_event(), h11.Request):
        connection.receive_data(await client.receive())
    connection.next_event()  # a CONNECT has no body; what follows belongs to the tunnel
    client.put_back(bytes(connection.trailing_data[0]))
    fields = tuple((name.decode("ascii"), value.decode("latin-1")) for name, value in event.headers)
    return HttpRequest(event.method.decode("ascii"), event.target.decode("ascii"), fields)
