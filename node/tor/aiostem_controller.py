"""A `Controller` on aiostem, of which only the public face is used. Importing this module imports the library.

Its ``authenticate`` prefers NULL, falls back to plain COOKIE and takes no cookie path; its ``ADD_ONION`` takes no unix
socket as the target; its parsers refuse a method of authentication that they do not know, and read the octal escapes in
a path as digits. So these commands are our own, for which it has ``request``. Events do not reach it: see `EventLines`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import anyio
from aiostem import Controller as AiostemController
from aiostem.command import Command, CommandAuthenticate
from aiostem.connector import ControlConnector
from aiostem.event import Event, EventWordInternal
from aiostem.exceptions import AiostemError, ControllerError, CryptographyError
from aiostem.utils import Message, MessageData
from anyio.abc import ByteStream

from ziggurat.node.tor.authentication import ControlCredentials, choose_method, read_cookie, read_password
from ziggurat.node.tor.controller import TorError, TorEvent, TorRefused
from ziggurat.node.tor.events import MAX_LINE, WORDS, EventLines, parse_event
from ziggurat.node.tor.fields import unescape
from ziggurat.node.tor.protocol_info import ProtocolInfo
from ziggurat.services.errors import one_line
from ziggurat.services.onion import OnionAddress
from ziggurat.services.stream_transport import StreamTransport

__all__ = ["open_controller"]

T = TypeVar("T")

REPLY_TIMEOUT = 10.0
"""Seconds for the reply to a command. Tor gives it at once; what takes long comes as events."""

MAX_REPLY = 4 * 1024 * 1024
"""Bytes of a reply. The longest that is asked for lists Tor's circuits."""

ALIVE_TIMEOUT = 60.0
"""Seconds for the reply to a question that only asks whether Tor is there. Losing a Tor that is merely busy would
withdraw the onion service."""


class Replies(asyncio.StreamReaderProtocol):
    """Feeds a reader with all but the events."""

    def __init__(self, reader: asyncio.StreamReader, events: EventLines) -> None:
        super().__init__(reader)
        self._replies = reader
        self._events = events

    def data_received(self, data: bytes) -> None:
        replies = self._events.receive(data)
        if self._events.unfinished > MAX_REPLY:  # the library collects its lines
            self._replies.set_exception(ValueError(f"a reply of more than {MAX_REPLY} bytes"))
        elif replies:
            # The library gives up at what is not ASCII.
            super().data_received(replies.decode("ascii", "backslashreplace").encode())


class OpenStream(ControlConnector):
    """Hands aiostem a stream that is open already: in a node, only the connection handler opens any."""

    def __init__(self, stream: ByteStream, events: EventLines) -> None:
        self._stream = stream
        self._events = events

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=MAX_LINE, loop=loop)
        protocol = Replies(reader, self._events)
        return reader, asyncio.StreamWriter(StreamTransport(self._stream, protocol), protocol, reader, loop)


class Line(Command):
    """A command as it is sent."""

    def __init__(self, text: str) -> None:
        self._text = text

    def serialize(self) -> str:
        return f"{self._text}\r\n"


class Connection:
    """A `Controller`; `open_controller` makes it."""

    def __init__(self, stream: ByteStream) -> None:
        self.version = "unknown"
        self.inner = AiostemController(OpenStream(stream, EventLines(self._on_event)))
        self._closed = anyio.Event()
        self._take: Callable[[TorEvent], object] = lambda event: None

    async def authenticate(self, credentials: ControlCredentials) -> None:
        """Authenticate as `choose_method` says; for a cookie Tor proves first that it knows the cookie, too.

        Raises:
            TorError: we cannot, or Tor refuses.
        """
        await self.inner.add_event_handler(EventWordInternal.DISCONNECT, self._on_disconnect)
        try:
            answer = await self._ask("PROTOCOLINFO 1")
        except TorError as error:
            if not isinstance(error.__cause__, ControllerError):
                raise
            # A container's published port, too: it is open, whether or not Tor listens behind it.
            raise TorError("what answers hangs up: no control port of Tor, or not open to this machine") from error
        known = ProtocolInfo.parse(item.header for item in answer.items)
        self.version = known.version
        method, token = choose_method(known.methods, credentials), None
        if method == "HASHEDPASSWORD" and credentials.password_file is not None:
            token = read_password(credentials.password_file).encode()
        elif method == "SAFECOOKIE":
            path = credentials.cookie or known.cookie
            if path is None:
                raise TorError("Tor does not say where its cookie is; give --tor-cookie")
            token = await self._answer_challenge(read_cookie(path))
        command = CommandAuthenticate(token=token)
        self._succeeded(await self._reply(self.inner.request(command)), "authentication")

    async def watch(self, take: Callable[[TorEvent], object]) -> None:
        self._take = take
        try:
            await self._ask(f"SETEVENTS {' '.join(WORDS)}")
        except TorRefused:  # a filter may keep streams back, which show where every program of Tor's goes
            await self._ask(f"SETEVENTS {' '.join(word for word in WORDS if word != 'STREAM')}")

    async def check_alive(self) -> None:
        try:
            await self._ask("GETINFO version", limit=ALIVE_TIMEOUT)
        except TorRefused:
            pass  # a filter before Tor is alive, too

    async def setting(self, name: str) -> list[str]:
        message = await self._ask(f"GETCONF {name}")
        lines = [*(item.header for item in message.items), message.header]
        values = [value for key, equals, value in (line.partition("=") for line in lines) if equals and key == name]
        return [unescape(each[1:-1]) if each.startswith('"') else each for each in values]

    async def info(self, key: str) -> str:
        message = await self._ask(f"GETINFO {key}")
        for item in message.items:
            name, _, value = item.header.partition("=")
            if name == key:
                return item.data if isinstance(item, MessageData) else value
        raise TorError(f"Tor does not answer GETINFO {key}")

    async def add_onion(self, key: str, port: int, target: str) -> str:
        if any(character in target for character in ' "\r\n'):
            raise TorError(f"Tor's control protocol cannot say {target!r}")
        try:
            message = await self._ask(f"ADD_ONION {key} Flags=DiscardPK Port={port},{target}", "ADD_ONION")
        except TorRefused as error:
            if "collision" not in str(error):
                raise
            raise TorRefused(
                f"{error}; another program has a service with this key, or our last connection still has"
            ) from error
        for item in message.items:
            name, _, value = item.header.partition("=")
            if name == "ServiceID":
                try:
                    OnionAddress.parse(f"{value}.onion")
                except ValueError as error:
                    raise TorError(f"Tor published the onion service under a name that is none: {value!r}") from error
                return value
        raise TorError("Tor published the onion service, but does not say its name")

    async def wait_closed(self) -> None:
        await self._closed.wait()

    async def _answer_challenge(self, cookie: bytes) -> bytes:
        reply = await self._reply(self.inner.auth_challenge())
        challenge = reply.data
        if challenge is None:
            text = one_line(reply.status_text or "")
            raise TorRefused(f"Tor refuses AUTHCHALLENGE SAFECOOKIE: {text} ({reply.status})")
        try:
            challenge.raise_for_server_hash_error(cookie)
        except CryptographyError as error:
            raise TorError("what answers does not know Tor's cookie; it gets no answer from us") from error
        return challenge.build_client_hash(cookie)

    async def _ask(self, command: str, shown: str | None = None, limit: float = REPLY_TIMEOUT) -> Message:
        message = await self._reply(self.inner.request(Line(command)), limit)
        self._succeeded(message, shown or command)
        return message

    def _succeeded(self, message: Message, command: str) -> None:
        if not message.is_success:
            raise TorRefused(f"Tor refuses {command}: {one_line(message.header)} ({message.status})")

    async def _reply(self, answer: Awaitable[T], limit: float = REPLY_TIMEOUT) -> T:
        """Await a reply of aiostem's, and map what it raises."""
        try:
            with anyio.fail_after(limit):
                return await answer
        except TimeoutError as error:
            self._closed.set()  # of no more use: a late reply would be taken for that to the next command
            raise TorError(f"Tor's control port does not answer within {limit:g} s") from error
        except (AiostemError, OSError, ValueError) as error:  # ValueError: pydantic's
            text = one_line(str(error)) or type(error).__name__
            raise TorError(f"the control connection failed: {text}") from error

    def _on_disconnect(self, event: Event) -> None:
        self._closed.set()

    def _on_event(self, text: str) -> None:
        if (event := parse_event(text)) is not None:
            self._take(event)


@asynccontextmanager
async def open_controller(stream: ByteStream, credentials: ControlCredentials) -> AsyncGenerator[Connection, None]:
    """Authenticate on an open connection to a control port, and close it at the end of the block.

    Raises:
        TorError: the other end is no control port, refuses us, or does not answer.
    """
    connection = Connection(stream)
    async with connection.inner:
        await connection.authenticate(credentials)
        yield connection
