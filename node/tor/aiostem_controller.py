"""A `Controller` on aiostem, of which only the public face is used. Importing this module imports the library.

Its ``authenticate`` prefers NULL, falls back to plain COOKIE and takes no cookie path, and its ``ADD_ONION`` takes no
unix socket as the target; so both are commands of our own, for which it has ``request``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import anyio
from aiostem import Controller as AiostemController
from aiostem.command import Command, CommandAuthenticate
from aiostem.connector import ControlConnector
from aiostem.event import Event, EventHsDesc, EventStatusClient, EventWord, EventWordInternal
from aiostem.exceptions import AiostemError, CryptographyError
from aiostem.structures import StatusClientBootstrap, StatusClientCircuitNotEstablished
from aiostem.utils import Message
from anyio.abc import ByteStream

from ziggurat.node.tor.authentication import ControlCredentials, choose_method, read_cookie, read_password
from ziggurat.node.tor.controller import Bootstrap, Circuits, DescriptorUpload, TorError, TorEvent
from ziggurat.services.errors import one_line
from ziggurat.services.stream_transport import StreamTransport

__all__ = ["open_controller"]

T = TypeVar("T")

MAX_LINE = 100_000
"""Bytes of a line from Tor, as in Bitcoin Core."""

REPLY_TIMEOUT = 10.0
"""Seconds for the reply to a command. Tor gives it at once; what takes long comes as events."""


class OpenStream(ControlConnector):
    """Hands aiostem a stream that is open already: in a node, only the connection handler opens any."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=MAX_LINE, loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        return reader, asyncio.StreamWriter(StreamTransport(self._stream, protocol), protocol, reader, loop)


class Line(Command):
    """A command as it is sent."""

    def __init__(self, text: str) -> None:
        self._text = text

    def serialize(self) -> str:
        return f"{self._text}\r\n"


class Connection:
    """A `Controller`; `open_controller` makes it."""

    def __init__(self, inner: AiostemController) -> None:
        self.version = "unknown"
        self._inner = inner
        self._closed = anyio.Event()
        self._take: Callable[[TorEvent], object] = lambda event: None

    async def authenticate(self, credentials: ControlCredentials) -> None:
        """Authenticate as `choose_method` says; for a cookie Tor proves first that it knows the cookie, too.

        Raises:
            TorError: we cannot, or Tor refuses.
        """
        await self._inner.add_event_handler(EventWordInternal.DISCONNECT, self._on_disconnect)
        known = (await _reply(self._inner.protocol_info())).data
        if known is None:
            raise TorError("what answers is no control port of Tor")
        self.version = known.tor_version
        method, token = choose_method([str(each.value) for each in known.auth_methods], credentials), None
        if method == "HASHEDPASSWORD" and credentials.password_file is not None:
            token = read_password(credentials.password_file).encode()
        elif method == "SAFECOOKIE":
            if credentials.cookie is None and known.auth_cookie_file is None:
                raise TorError("Tor does not say where its cookie is; give --tor-cookie")
            token = await self._answer_challenge(read_cookie(credentials.cookie or Path(known.auth_cookie_file or "")))
        self._succeeded(await _reply(self._inner.request(CommandAuthenticate(token=token))), "authentication")

    async def watch(self, take: Callable[[TorEvent], object]) -> None:
        self._take = take
        for word, handler in ((EventWord.STATUS_CLIENT, self._on_status), (EventWord.HS_DESC, self._on_descriptor)):
            await _reply(self._inner.add_event_handler(word, handler))

    async def info(self, key: str) -> str:
        message = await self._ask(f"GETINFO {key}")
        for item in message.items:
            name, _, value = item.header.partition("=")
            if name == key:
                return value
        raise TorError(f"Tor does not answer GETINFO {key}")

    async def add_onion(self, key: str, port: int, target: str) -> str:
        if any(character in target for character in ' "\r\n'):
            raise TorError(f"Tor's control protocol cannot say {target!r}")
        message = await self._ask(f"ADD_ONION {key} Flags=DiscardPK Port={port},{target}", "ADD_ONION")
        for item in message.items:
            name, _, value = item.header.partition("=")
            if name == "ServiceID":
                return value
        raise TorError("Tor published the onion service, but does not say its name")

    async def wait_closed(self) -> None:
        await self._closed.wait()

    async def _answer_challenge(self, cookie: bytes) -> bytes:
        challenge = (await _reply(self._inner.auth_challenge())).data
        if challenge is None:
            raise TorError("Tor refuses SAFECOOKIE")
        try:
            challenge.raise_for_server_hash_error(cookie)
        except CryptographyError as error:
            raise TorError("what answers does not know Tor's cookie; it gets no answer from us") from error
        return challenge.build_client_hash(cookie)

    async def _ask(self, command: str, shown: str | None = None) -> Message:
        message = await _reply(self._inner.request(Line(command)))
        self._succeeded(message, shown or command)
        return message

    def _succeeded(self, message: Message, command: str) -> None:
        if not message.is_success:
            raise TorError(f"Tor refuses {command}: {one_line(message.header)} ({message.status})")

    # -- events

    def _on_disconnect(self, event: Event) -> None:
        self._closed.set()

    def _on_status(self, event: Event) -> None:
        if not isinstance(event, EventStatusClient):
            return
        details = event.arguments
        if isinstance(details, StatusClientBootstrap):
            self._take(Bootstrap(details.progress, details.tag, details.summary, details.warning))
        elif isinstance(details, StatusClientCircuitNotEstablished):
            self._take(Circuits(details.reason))
        elif event.action == "CIRCUIT_ESTABLISHED":
            self._take(Circuits(None))

    def _on_descriptor(self, event: Event) -> None:
        if isinstance(event, EventHsDesc):
            descriptor = None if event.descriptor_id is None else event.descriptor_id.hex()
            reason = None if event.reason is None else str(event.reason.value)
            service = str(event.address).removesuffix(".onion")
            upload = DescriptorUpload(str(event.action.value), service, str(event.hs_dir), descriptor, reason)
            self._take(upload)


@asynccontextmanager
async def open_controller(stream: ByteStream, credentials: ControlCredentials) -> AsyncGenerator[Connection, None]:
    """Authenticate on an open connection to a control port, and close it at the end of the block.

    Raises:
        TorError: the other end is no control port, refuses us, or does not answer.
    """
    async with AiostemController(OpenStream(stream)) as inner:
        connection = Connection(inner)
        await connection.authenticate(credentials)
        yield connection


async def _reply(answer: Awaitable[T]) -> T:
    """Await a reply of aiostem's, and map what it raises."""
    try:
        with anyio.fail_after(REPLY_TIMEOUT):
            return await answer
    except TimeoutError as error:
        raise TorError(f"Tor's control port does not answer within {REPLY_TIMEOUT:g} s") from error
    except (AiostemError, OSError, ValueError) as error:  # ValueError: pydantic's
        text = one_line(str(error)) or type(error).__name__
        raise TorError(f"the control connection failed: {text}") from error
