"""Any anyio byte stream as an asyncio transport: the pump, for streams that cannot be handed over.

Two tasks carry the bytes. The writer owns the stream: it sends all pending data in one piece and closes the stream. The
reader feeds the protocol. ``connection_lost`` is called once, after both tasks are done and the stream is closed, even
if a task was cancelled before its first step and so never ran its ``finally``.
"""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import Any

from anyio import CancelScope, EndOfStream, aclose_forcefully, move_on_after
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSAttribute

__all__ = ["StreamTransport"]

READ_SIZE = 65536
"""Maximum size of a read in bytes. ``SSLObject.read`` allocates all of it, though a TLS record has at most 16 KiB."""

HIGH_WATER = 65536
"""Unsent bytes above which the protocol is paused: asyncio's default."""

CLOSE_LIMIT = 2.0
"""Limit of a close in seconds: it may wait for the peer (for TLS's close_notify), which may be gone."""

EXTRA: dict[str, Any] = {
    "socket": SocketAttribute.raw_socket,
    "peername": SocketAttribute.remote_address,
    "sockname": SocketAttribute.local_address,
    "ssl_object": TLSAttribute.ssl_object,
    "cipher": TLSAttribute.cipher,
    "peercert": TLSAttribute.peer_certificate,
}

NOBODY = asyncio.Protocol()
"""Replaces the protocol after ``connection_lost``, so that neither keeps the other alive."""


class StreamTransport(asyncio.Transport):
    """Runs ``protocol`` over ``stream`` and owns the stream from then on.

    Raises:
        Exception: ``protocol.connection_made`` raised it; the stream is then being closed.
    """

    def __init__(self, stream: ByteStream, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._stream = stream
        self._protocol = protocol
        self._chunks: list[bytes] = []
        self._size = 0  # bytes written that the stream has not taken yet
        self._high, self._low = HIGH_WATER, HIGH_WATER // 4
        self._writing_paused = self._eof_asked = self._eof_sent = False
        self._closing = False  # nothing more is read; pending data is still sent
        self._broken = False  # nothing more is sent either
        self._shut = False  # the writer has closed the stream
        self._made = self._ending = False  # connection_made was called; connection_lost is about to be
        self._error: Exception | None = None
        self._work: asyncio.Future[None] | None = None  # the writer waits for this
        self._gate: asyncio.Future[None] | None = None  # the reader waits for this while reading is paused
        self._loop = asyncio.get_running_loop()
        # Fresh contexts, so that the context variables of the first caller do not live on here.
        self._writer = self._loop.create_task(self._write(), context=Context(), name=f"write {stream!r:.80}")
        self._reader = self._loop.create_task(self._read(), context=Context(), name=f"read {stream!r:.80}")
        self._writer.add_done_callback(self._task_ended)
        self._reader.add_done_callback(self._task_ended)
        try:
            protocol.connection_made(self)
        except BaseException:
            self.abort()
            raise
        finally:
            self._made = True

    # -- what the protocol calls

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Queue ``data``; everything queued before the writer runs is sent in one piece."""
        if self._closing or not data:
            return
        if self._eof_asked:
            raise RuntimeError("cannot write after write_eof()")
        chunk = data if isinstance(data, bytes) else bytes(data)
        self._chunks.append(chunk)
        self._size += len(chunk)
        self._wake_writer()
        if self._size > self._high and not self._writing_paused:
            self._writing_paused = True
            self._protocol.pause_writing()

    def write_eof(self) -> None:
        """Close our direction after the pending data."""
        self._eof_asked = True
        self._wake_writer()

    def can_write_eof(self) -> bool:
        """Return ``False`` for TLS, which anyio cannot half-close."""
        return self._stream.extra(TLSAttribute.standard_compatible, None) is None

    def close(self) -> None:
        """Stop reading, send pending data, then close."""
        self._closing = True
        self._open_gate()
        self._wake_writer()

    def abort(self) -> None:
        """Close now and discard pending data."""
        self._closing = True
        if not self._broken:
            self._broken = True
            self._writer.cancel()

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        if self._gate is None and not self._closing:
            self._gate = self._loop.create_future()

    def resume_reading(self) -> None:
        self._open_gate()

    def is_reading(self) -> bool:
        return self._gate is None and not self._closing

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set when the protocol is paused and resumed, in bytes; ``None`` for asyncio's defaults, 64 and 16 KiB."""
        if high is None:
            high = HIGH_WATER if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self._high, self._low = high, low

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def get_write_buffer_size(self) -> int:
        return self._size

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        if not isinstance(protocol, asyncio.Protocol):
            raise TypeError(f"StreamTransport takes an asyncio.Protocol, not {protocol!r}")
        self._protocol = protocol

    def get_protocol(self) -> asyncio.Protocol:
        return self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return the stream's typed attribute for ``name``, if it is in `EXTRA` and the stream has it."""
        attribute = EXTRA.get(name)
        if attribute is None:
            return default
        try:
            return self._stream.extra(attribute, default)
        except OSError:  # a closed socket has no address
            return default

    def __repr__(self) -> str:
        return f"StreamTransport({self._stream!r}{', closing' if self._closing else ''})"

    # -- the two tasks

    async def _read(self) -> None:
        if not self._made:  # an eager task factory has started us within __init__
            await asyncio.sleep(0)
        while not self._closing:
            try:
                data = await self._stream.receive(READ_SIZE)
            except EndOfStream:
                data = b""
            except Exception as error:
                self._fail(error)
                return
            if self._gate is not None:
                await self._gate
            if self._closing:
                return
            try:
                if data:
                    self._protocol.data_received(data)
                else:
                    if not self._protocol.eof_received():
                        self.close()
                    return
            except Exception as error:
                # A bug in the protocol: report it and hang up, as asyncio's transports do.
                message = "Fatal error: the protocol failed on received data."
                self._loop.call_exception_handler(
                    {"message": message, "exception": error, "transport": self, "protocol": self._protocol}
                )
                self._fail(error)

    async def _write(self) -> None:
        if not self._made:
            await asyncio.sleep(0)
        try:
            while True:
                while self._chunks:
                    chunks, self._chunks = self._chunks, []
                    data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
                    await self._stream.send(data)
                    self._size -= len(data)
                    if self._writing_paused and self._size <= self._low:
                        self._writing_paused = False
                        self._protocol.resume_writing()
                if self._eof_asked and not self._eof_sent:
                    self._eof_sent = True
                    await self._stream.send_eof()
                elif self._closing:
                    break
                else:
                    self._work = self._loop.create_future()
                    await self._work
        except Exception as error:
            self._broken = True
            self._fail(error)
        except BaseException:
            self._broken = True
            raise
        finally:
            self._closing = True
            await self._close_stream()

    async def _close_stream(self) -> None:
        # End the reader first: closing a TLS stream reads from it, and there must be only one reader.
        self._reader.cancel()
        try:
            with CancelScope(shield=True), move_on_after(CLOSE_LIMIT):
                await asyncio.wait([self._reader])
                if not self._broken:
                    await self._stream.aclose()
                    self._shut = True
        except Exception as error:
            self._error = self._error or error
        finally:
            if not self._shut:
                self._shut = True
                with CancelScope(shield=True):
                    try:
                        await aclose_forcefully(self._stream)
                    except Exception:
                        pass  # nothing more can be done

    # -- how it ends

    def _fail(self, error: Exception) -> None:
        if self._closing and not self._broken:
            return  # the reader no longer matters; a failing writer is reported separately
        if self._error is None and not self._closing:
            cause = error.__cause__
            self._error = cause if isinstance(cause, Exception) else error
        self.abort()

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        if task is self._reader and task.cancelled() and not self._closing:
            self.abort()  # every task is being cancelled, so this connection ends, too
        if not self._writer.done():
            return
        self._closing = True
        if not self._reader.done():
            self._reader.cancel()
        elif self._ending:
            pass
        elif self._shut:
            self._ending = True
            self._tell()
        else:
            # The writer was cancelled before its first step, so its `finally` did not run and the stream is still open.
            self._ending = True
            closer = self._loop.create_task(aclose_forcefully(self._stream), context=Context())
            closer.add_done_callback(self._closed_late)

    def _closed_late(self, closer: asyncio.Task[None]) -> None:
        if not closer.cancelled():
            closer.exception()  # nothing more can be done
        self._tell()

    def _tell(self) -> None:
        protocol, self._protocol = self._protocol, NOBODY
        self._broken = True
        self._chunks.clear()
        self._size = 0
        # A cancelled task keeps its CancelledError, and the traceback refers to this transport.
        del self._reader, self._writer
        protocol.connection_lost(self._error)

    def _wake_writer(self) -> None:
        work = self._work
        if work is not None and not work.done():
            work.set_result(None)

    def _open_gate(self) -> None:
        gate, self._gate = self._gate, None
        if gate is not None and not gate.done():
            gate.set_result(None)
