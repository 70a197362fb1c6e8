"""One HTTP/2 connection: grpclib's protocol, on our engine, connection, streams and processor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from grpclib.client import Handler
from grpclib.config import Configuration
from grpclib.protocol import AbstractHandler, H2Protocol
from grpclib.protocol import _set_nodelay as set_nodelay  # pyright: ignore[reportPrivateUsage]
from h2.config import H2Configuration

from ziggurat.services.channel.client_stream import ClientStream
from ziggurat.services.channel.connection import Connection, describe
from ziggurat.services.channel.engine import h2_configuration, make_engine
from ziggurat.services.channel.options import ConnectionOptions
from ziggurat.services.channel.ping_timer import PingTimer
from ziggurat.services.channel.preface import Preface
from ziggurat.services.channel.processor import Processor
from ziggurat.services.channel.server_stream import ServerStream
from ziggurat.services.channel.stream import Stream
from ziggurat.services.errors import one_line

__all__ = ["ClientProtocol", "Protocol", "ServerProtocol"]


class Protocol(H2Protocol):
    """What both ends have in common.

    Attributes:
        failure: one line on why the connection came to a bad end; ``None`` while it has not.
        settings_received: whether the peer's SETTINGS have come.
        lost: set once nothing is left of the connection.
        loss: the error that `connection_lost` got; ``None`` before, and for a connection that ended without one.
    """

    stream_class: type[Stream]
    connection: Connection  # pyright: ignore[reportIncompatibleVariableOverride]
    processor: Processor  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(
        self, handler: AbstractHandler, config: Configuration, h2_config: H2Configuration, options: ConnectionOptions
    ) -> None:
        super().__init__(handler, config, h2_config)
        self.options = options
        self.failure: str | None = None
        self.settings_received = False
        self.lost = asyncio.Event()
        self.loss: BaseException | None = None
        self._made = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Make the engine and send its preface."""
        if (sock := transport.get_extra_info("socket")) is not None:
            set_nodelay(sock)
        self._made = True
        self.connection = Connection(  # pyright: ignore[reportIncompatibleVariableOverride]
            make_engine(self.h2_config, self.options),
            cast(asyncio.Transport, transport),
            config=self.config,
            options=self.options,
            stream_class=self.stream_class,
        )
        self.connection.write_now()
        self.connection.initialize()
        processor = Processor(self.handler, self.connection, self)
        self.processor = processor  # pyright: ignore[reportIncompatibleVariableOverride]

    def data_received(self, data: bytes) -> None:
        """Feed the engine, and deal with what it made of it."""
        connection, processor = self.connection, self.processor
        if connection.closing:
            return
        try:
            for event in connection.feed(data):
                processor.process(event)
        except Exception as error:  # whatever a hostile peer makes h2, hpack or hyperframe raise
            self.fail(f"HTTP/2 protocol error: {describe(error)}")
            return
        if connection.violation is not None:
            self.fail(f"HTTP/2 protocol error: {connection.violation}")
        else:
            connection.flush()

    def connection_lost(self, exc: BaseException | None) -> None:
        """End every call that is not complete."""
        self.loss = exc
        self.connection.lost()
        detail = self.failure or (one_line(str(exc)) or type(exc).__name__ if exc else None)
        self.processor.end(f"Connection lost: {detail}" if detail else "Connection lost")
        self.lost.set()

    def settings_arrived(self) -> None:
        """The peer's SETTINGS are there, or have changed."""
        self.settings_received = True

    def draining_began(self) -> None:
        """The peer takes no new call; those in flight go on, and the last one closes the connection."""

    def fail(self, reason: str) -> None:
        """End the connection because of ``reason``; what the engine has to say about it is still sent."""
        self.failure = self.failure or reason
        self.processor.close(reason)

    def close(self) -> None:
        """Take no new call, end those in flight, send what is there and close; abort after ``linger`` seconds."""
        if self._made:
            self.processor.close()

    def abort(self) -> None:
        """Close at once; what is unsent is lost."""
        if self._made:
            self.connection.abort()
            self.processor.end(f"Connection lost: {self.failure}" if self.failure else "Connection closed")

    async def aclose(self) -> None:
        """Close, and return when the last byte is out, or ``linger`` seconds are over."""
        self.close()
        if self._made:
            await self.lost.wait()


class ServerProtocol(Protocol):
    """A listener's end."""

    stream_class = ServerStream


class ClientProtocol(Protocol):
    """A caller's end, for one connection of a channel.

    Args:
        options: its settings.
        on_settings: called once, when the peer's SETTINGS have come.
        on_draining: called once, when the peer has said that it takes no new call.
        on_lost: called once, when nothing is left of the connection, with one line on why.

    Attributes:
        foreign: whether the peer spoke something that is not HTTP/2, so that another dial will not fare better.
    """

    stream_class = ClientStream

    def __init__(
        self,
        options: ConnectionOptions,
        *,
        on_settings: Callable[[], None],
        on_draining: Callable[[], None],
        on_lost: Callable[[str], None],
    ) -> None:
        config = Configuration(
            http2_connection_window_size=options.connection_window, http2_stream_window_size=options.stream_window
        )
        super().__init__(Handler(), config.__for_client__(), h2_configuration(client_side=True), options)
        self.foreign = False
        self._on_settings = on_settings
        self._on_draining = on_draining
        self._on_lost = on_lost
        self._preface: Preface | None = Preface()
        self._keepalive: PingTimer | None = None

    @property
    def accepting(self) -> bool:
        """Whether a new call may start here."""
        return self._made and self.connection.refusal is None and not self.connection.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the preface, and begin to watch the peer."""
        super().connection_made(transport)
        if self.options.http2_keepalive_interval is not None:
            self._keepalive = PingTimer(
                self.options.http2_keepalive_interval,
                self.options.http2_keepalive_timeout,
                ping=self._ping,
                on_dead=self._dead,
            )

    def data_received(self, data: bytes) -> None:
        """Judge the first bytes; hand the rest to the engine."""
        if self._keepalive is not None:
            self._keepalive.heard()
        if self._preface is not None:
            data = self._preface.feed(data)
            if self._preface.verdict is not None:
                self._is_foreign(self._preface.verdict)
                return
            if not self._preface.done:
                return
            self._preface = None
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        """End every call that is not complete, and say why."""
        if self._keepalive is not None:
            self._keepalive.stop()
        if self._preface is not None:
            self._preface.close()
            self.foreign = self.foreign or self._preface.verdict is not None
            self.failure = self.failure or self._preface.verdict
        if self.failure is None and not self.connection.closing:
            how = "closed by the peer" if exc is None else one_line(str(exc)) or type(exc).__name__
            self.failure = how if self.settings_received else f"{how} before its SETTINGS"
        super().connection_lost(exc)
        self._on_lost(self.failure or "closed")

    def settings_arrived(self) -> None:
        """The peer's SETTINGS are there, or have changed."""
        if not self.settings_received:
            self.settings_received = True
            self._on_settings()

    def draining_began(self) -> None:
        """The peer takes no new call."""
        self._on_draining()

    def fail(self, reason: str) -> None:
        """End the connection because of ``reason``."""
        self.foreign = self.foreign or not self.settings_received
        super().fail(reason)

    def _is_foreign(self, verdict: str) -> None:
        self.foreign = True
        self.failure = verdict
        self.abort()

    def _ping(self) -> bool:
        if self.connection.closing or not (self.processor.streams or self.options.http2_keepalive_while_idle):
            return False
        self.connection.ping()
        return True

    def _dead(self) -> None:
        self.failure = f"no answer to a keepalive PING within {self.options.http2_keepalive_timeout:g} s"
        self.abort()
