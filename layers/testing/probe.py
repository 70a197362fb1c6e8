"""The leaf that `check_layer` puts under a layer: it counts open streams and running calls, and plays the far end."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from math import inf
from types import TracebackType
from typing import TypeAlias

import anyio
from anyio import BrokenResourceError, ClosedResourceError, EndOfStream, TypedAttributeSet, typed_attribute
from anyio.abc import ByteStream, SocketAttribute, TaskGroup
from anyio.lowlevel import checkpoint

from ziggurat.layers.testing.memory import MemoryStream, stream_pair
from ziggurat.services.dial import dial, phase
from ziggurat.services.ledger import Ledger
from ziggurat.services.stream import WrappedStream, closing_on_error
from ziggurat.services.uri import Uri

__all__ = ["Peer", "Probe", "ProbeAttribute"]

Peer: TypeAlias = Callable[[ByteStream], Awaitable[ByteStream | None]]
"""Plays the far end of the stream that a layer uses. It may return an inner stream, e.g. the one inside TLS."""


class ProbeAttribute(TypedAttributeSet):
    """A typed attribute that only a probe's stream has."""

    mark: Probe = typed_attribute()
    """The probe that opened the stream."""


class Probe:
    """The leaf under a layer that is being checked.

    Attributes:
        ours: whether to behave like the project's leaves, with one of our streams and within the dial, or like a user's
            plain function, which knows nothing of dials.
        error: raised instead of returning a stream, unless ``None``.
        hanging: set once a call hangs.
        hang: seconds for which a call hangs; ``None`` to return a stream.
        endless: set once a call or its stream hangs, and no limit of the layer's own would end that; see
            `watch_limits`.
        fault: wrapped around each stream, unless ``None``.
        calls: the Uri of each call.
        running: number of running calls.
        streams: the near end of each stream.
        opened: each stream as it was returned.
        ledgers: the ledger that each call saw.
        peer_error: the first error at the far end, other than the end of its stream.
    """

    def __init__(self, far_ends: TaskGroup, peer: Peer | None, *, ours: bool = True) -> None:
        self.ours = ours
        self.error: Exception | None = None
        self.hang: float | None = None
        self.hanging = anyio.Event()
        self.endless = anyio.Event()
        self.fault: Callable[[ByteStream], ByteStream] | None = None
        self.calls: list[Uri] = []
        self.running = 0
        self.streams: list[MemoryStream] = []
        self.opened: list[ByteStream] = []
        self.ledgers: list[Ledger] = []
        self.peer_error: Exception | None = None
        self._far_ends = far_ends
        self._peer = peer
        self._deadline = inf  # of the suite's patience and of what the caller of the suite set
        self._virtual = True
        # Not connected and never used for I/O: it is for layers that set socket options.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)

    def __enter__(self) -> Probe:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    async def __call__(self, uri: Uri, /) -> ByteStream:
        self.calls.append(uri)
        self.running += 1
        try:
            if not self.ours:
                return await self._open()
            with dial(uri) as current:
                self.ledgers.append(current.ledger)
                with phase("probe", via=None if uri == current.ledger.target else uri.authority):
                    return current.established(await self._open())
        finally:
            self.running -= 1

    @property
    def open_streams(self) -> int:
        """How many streams were returned and not closed."""
        return sum(not stream.closed for stream in self.streams)

    def reset(self) -> None:
        """Return a stream from now on, without a fault."""
        self.error = self.hang = self.fault = self.peer_error = None

    def watch_limits(self, patience: float, virtual: bool) -> anyio.Event:
        """Prepare for a dial that hangs; return `endless`.

        It is set if no limit of the layer's shows, unless time is virtual: then waiting costs nothing.
        """
        self.endless = anyio.Event()
        self._deadline = min(anyio.current_time() + patience, anyio.current_effective_deadline())
        self._virtual = virtual
        return self.endless

    def hangs(self) -> None:
        """Note that the dial hangs from now on; called in the dial."""
        self.hanging.set()
        if not self._virtual and anyio.current_effective_deadline() >= self._deadline:
            self.endless.set()

    async def _open(self) -> ByteStream:
        await checkpoint()
        if self.error is not None:
            raise self.error
        if self.hang is not None:
            self.hangs()
            await anyio.sleep(self.hang)
            raise NotCancelledError
        near, far = stream_pair()
        near.attributes |= {
            ProbeAttribute.mark: lambda: self,
            SocketAttribute.family: lambda: socket.AF_INET,
            SocketAttribute.local_address: lambda: ("127.0.0.1", 40000),
            SocketAttribute.local_port: lambda: 40000,
            SocketAttribute.raw_socket: lambda: self._socket,
            SocketAttribute.remote_address: lambda: ("127.0.0.1", 50000),
            SocketAttribute.remote_port: lambda: 50000,
        }
        stream: ByteStream = near if self.fault is None else self.fault(near)
        if self.ours:
            stream = WrappedStream(stream)
        self.streams.append(near)
        self.opened.append(stream)
        async with closing_on_error(stream):
            self._far_ends.start_soon(self._play, far)
            await checkpoint()
            return stream

    async def _play(self, far: MemoryStream) -> None:
        try:
            inside = None if self._peer is None else await self._peer(far)
            await _echo(inside or far)
        except (EndOfStream, BrokenResourceError, ClosedResourceError):
            pass
        except Exception as error:
            self.peer_error = self.peer_error or error
        finally:
            await anyio.aclose_forcefully(far)

    def __repr__(self) -> str:
        return f"Probe({len(self.calls)} calls, {self.running} running, {self.open_streams} streams open)"


class NotCancelledError(Exception):
    """A call was not cancelled that should have been long ago."""


async def _echo(stream: ByteStream) -> None:
    try:
        while True:
            await stream.send(await stream.receive())
    except EndOfStream:
        await stream.aclose()
