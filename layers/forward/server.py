"""What both forwarders have in common: the listener, the clients, their limits, and the end."""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial

import anyio
from anyio import BrokenResourceError, ClosedResourceError
from anyio.abc import ByteStream, TaskGroup

from ziggurat.layers.accept import Room, accept_connections
from ziggurat.layers.events import EventLogger, write_event
from ziggurat.layers.forward.accepted import accepted_stream, client_name
from ziggurat.layers.forward.address import ListenAddress
from ziggurat.layers.forward.client_key import current_client
from ziggurat.layers.forward.connection import ForwardCounters, ForwardedConnection
from ziggurat.layers.forward.handshake import BadClient
from ziggurat.layers.forward.listener import LocalListener
from ziggurat.layers.forward.reach import ClientLeft, reach
from ziggurat.layers.forward.relay import relay
from ziggurat.layers.forward.reset import reset
from ziggurat.services.service import Connector
from ziggurat.services.stream import DialAttribute
from ziggurat.services.uri import Uri
from ziggurat.services.validation import check_count, check_seconds

__all__ = ["LocalServer", "Report"]

Report = Callable[[ForwardedConnection], object]
"""Is told of a connection when it has ended. It must not raise."""


class LocalServer(ABC):
    """Takes local clients, dials for each through a connector, and relays. The base of the forwarders."""

    _client_waits = False
    """Whether a client has to wait for us before it sends: then its end means that it has left."""

    def __init__(
        self,
        connector: Connector,
        max_connections: int | None,
        idle_timeout: float | None,
        drain: float,
        report: Report | None,
        logger: EventLogger | None,
    ) -> None:
        check_count("max_connections", max_connections)
        check_seconds("idle_timeout", idle_timeout)
        check_seconds("drain", drain, zero=True, optional=False)
        self.connector = connector
        self.max_connections = max_connections
        self.idle_timeout = idle_timeout
        self.drain = drain
        self._report = report
        self._logger = logger
        self._active: set[ForwardedConnection] = set()
        self._past = ForwardCounters()
        self._all_ended: anyio.Event | None = None

    @property
    def counters(self) -> ForwardCounters:
        """What it has done so far."""
        past, active = self._past, self._active
        return ForwardCounters(
            accepted=past.accepted + len(active),
            opened=past.opened + sum(each.opened for each in active),
            failed=past.failed,
            open=len(active),
            sent=past.sent + sum(each.sent for each in active),
            received=past.received + sum(each.received for each in active),
        )

    @asynccontextmanager
    async def serve(
        self, listen: str | ListenAddress = "127.0.0.1:0", *, allow_remote: bool = False
    ) -> AsyncGenerator[ListenAddress, None]:
        """Listen for the length of an ``async with`` block, and yield the address, with the port that was taken.

        At the end of the block no more clients are taken, open connections go on for up to ``drain`` seconds, and then
        they are reset. An exception in the block, or a cancellation, resets them at once.

        Args:
            listen: ``PORT``, ``IP:PORT``, ``[IPv6]:PORT``, ``localhost:PORT`` or ``unix:/path``; port 0 takes a free
                one. A unix socket is for this user alone, and is removed at the end.
            allow_remote: whether an address that other machines can reach is allowed.

        Raises:
            ValueError: the address is wrong, or others can reach it.
            OSError: it cannot be listened on.
        """
        address = ListenAddress.parse(listen) if isinstance(listen, str) else listen
        if not allow_remote and not address.is_loopback:
            raise ValueError(f"{address} can be reached from other machines: pass allow_remote=True if that is wanted")
        listener = LocalListener(address)
        failure: Exception | None = None
        try:
            async with anyio.create_task_group() as clients:
                async with anyio.create_task_group() as accepting:
                    accepting.start_soon(self._accept, listener, clients)
                    try:
                        yield listener.address
                    except Exception as error:
                        failure = error  # a task group would wrap it in a group
                    accepting.cancel_scope.cancel()
                listener.close()
                if failure is None:
                    await self._drained()
                clients.cancel_scope.cancel()
        finally:
            listener.close()
        if failure is not None:
            raise failure

    async def handle(self, client: ByteStream) -> None:
        """Serve one client on any byte stream, and close it."""
        record = ForwardedConnection(client_name(client))
        self._active.add(record)
        token = current_client.set("")
        try:
            stream, early = await self._open(client, record)
            await relay(client, stream, record, early, self.idle_timeout)
        except (BadClient, ClientLeft) as error:
            record.error = str(error)
        except Exception as error:
            record.failed(error)  # a bug, ours or of a layer, ends this connection and no other
        except BaseException:
            record.error = record.error or "cut off when the forwarder stopped"
            raise
        finally:
            current_client.reset(token)
            self._end(record)

    @abstractmethod
    async def _target(self, client: ByteStream) -> Uri:
        """Return where the client wants to go.

        Raises:
            BadClient: it did not say so properly.
        """

    @abstractmethod
    async def _tell(self, client: ByteStream, error: Exception | None) -> None:
        """Tell the client that the target was reached, or why it was not.

        Raises:
            BrokenResourceError, ClosedResourceError: it has left; only if the target was reached.
        """

    async def _accept(self, listener: LocalListener, clients: TaskGroup) -> None:
        room = Room(self.max_connections)

        def take(accepted: socket.socket) -> None:
            room.take()
            clients.start_soon(self._handle_socket, accepted, room)

        await accept_connections(listener.socket, str(listener.address), take, room=room)

    async def _handle_socket(self, accepted: socket.socket, room: Room) -> None:
        try:
            try:
                client = await accepted_stream(accepted)
            except OSError:
                return  # it has left
            await self.handle(client)
        finally:
            room.give_back()

    async def _open(self, client: ByteStream, record: ForwardedConnection) -> tuple[ByteStream, bytes]:
        """Reach the target; return the stream to it, and what the client has sent meanwhile. Else reset the client."""
        stream: ByteStream | None = None
        try:
            record.target = target = await self._target(client)
            try:
                stream, early = await reach(client, partial(self._dial, target), any_end=self._client_waits)
            except Exception as error:
                if not isinstance(error, ClientLeft):
                    await self._tell(client, error)
                raise
            record.dialled(stream.extra(DialAttribute.ledger, None))
            record.opened = True
            self._write_opened(record)
            await self._tell(client, None)
        except BaseException as error:
            await reset(client)
            if stream is not None:
                await reset(stream)
            if isinstance(error, BrokenResourceError | ClosedResourceError):
                raise ClientLeft from error
            raise
        return stream, early

    async def _dial(self, target: Uri) -> ByteStream:
        return await self.connector(target)

    async def _drained(self) -> None:
        with anyio.move_on_after(self.drain):
            while self._active:
                self._all_ended = anyio.Event()
                await self._all_ended.wait()

    def _end(self, record: ForwardedConnection) -> None:
        record.ended()
        self._active.discard(record)
        past = self._past
        self._past = ForwardCounters(
            accepted=past.accepted + 1,
            opened=past.opened + record.opened,
            failed=past.failed + (record.error is not None),
            sent=past.sent + record.sent,
            received=past.received + record.received,
        )
        if not self._active and self._all_ended is not None:
            self._all_ended.set()
        self._write_closed(record)
        if self._report is not None:
            self._report(record)

    def _write_opened(self, record: ForwardedConnection) -> None:
        write_event(
            self._logger,
            "info",
            "forward.opened",
            dial=record.id,
            client=record.client,
            target=str(record.target),
            via=record.via,
            elapsed=round(record.age, 3),
        )

    def _write_closed(self, record: ForwardedConnection) -> None:
        write_event(
            self._logger,
            "info",
            "forward.closed",
            dial=record.id,
            client=record.client,
            target=None if record.target is None else str(record.target),
            via=record.via,
            phase=record.phase,
            elapsed=round(record.age, 3),
            sent=record.sent,
            received=record.received,
            error=record.error,
        )
