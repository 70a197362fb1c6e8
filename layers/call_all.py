"""Dial many targets, a limited number at once, and take the answers as they come."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterable, Iterable
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import cast

import anyio
from anyio.abc import ByteStream
from anyio.lowlevel import checkpoint

from ziggurat.layers.background import Background, closing_iterator
from ziggurat.layers.layer import check_connector
from ziggurat.services.errors import ConnectError
from ziggurat.services.service import Connector
from ziggurat.services.uri import Uri
from ziggurat.services.validation import check_count

__all__ = ["Answer", "CallAll", "call_all"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one dial: a stream or an error.

    Attributes:
        uri: the target.
        stream: the open stream, which is the caller's to close; ``None`` if the dial failed.
        error: why the dial failed; ``None`` if it did not.
    """

    uri: Uri
    stream: ByteStream | None = None
    error: ConnectError | None = None


class CallAll:
    """The dials, as an async context manager and as the async iterator of their answers; made by `call_all`."""

    __slots__ = ("_answers", "_background", "_changed", "_connector", "_failure", "_running", "_slots", "_uris")

    def __init__(self, connector: Connector, uris: Iterable[Uri] | AsyncIterable[Uri], limit: int) -> None:
        self._connector = connector
        self._uris = uris
        self._slots = anyio.Semaphore(limit)
        self._answers: deque[Answer] = deque()
        self._running = 0  # dials, and one for the reader of the targets
        self._failure: Exception | None = None
        self._changed = anyio.Event()
        self._background: Background | None = None

    async def __aenter__(self) -> CallAll:
        if self._background is not None:
            raise RuntimeError("call_all() makes one `async with` block: call it again")
        self._background = Background()
        await self._background.__aenter__()
        self._running += 1
        self._background.start(self._read)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        assert self._background is not None
        try:
            return await self._background.__aexit__(kind, error, trace)
        finally:
            for answer in self._answers:
                if answer.stream is not None:
                    await _close(answer.stream)
            self._answers.clear()
            self._running = 0

    def __aiter__(self) -> CallAll:
        return self

    async def __anext__(self) -> Answer:
        """Return the next answer.

        Raises:
            StopAsyncIteration: all of them were returned, or the block has ended.
            Exception: the iterator of the targets raised it; it comes after the answers to the targets before.
        """
        await checkpoint()
        while not self._answers:
            if not self._running:
                failure, self._failure = self._failure, None
                if failure is not None:
                    raise failure
                raise StopAsyncIteration
            await self._changed.wait()
        # Nothing is awaited between here and the caller: a cancelled caller has not taken an answer.
        self._slots.release()
        return self._answers.popleft()

    async def _read(self) -> None:
        try:
            if isinstance(self._uris, AsyncIterable):
                async with closing_iterator(self._uris) as uris:
                    async for uri in uris:
                        await self._start(uri)
            else:
                for uri in self._uris:
                    await self._start(uri)
        except Exception as error:
            self._failure = error
        finally:
            self._ended()

    async def _start(self, uri: Uri) -> None:
        if not isinstance(cast(object, uri), Uri):
            raise TypeError(f"call_all dials Uris, not {uri!r}: write Uri.parse(..)")
        # Taken once there is a target to dial: a slow iterator holds no slot.
        await self._slots.acquire()
        self._running += 1
        assert self._background is not None
        self._background.start(partial(self._dial, uri))

    async def _dial(self, uri: Uri) -> None:
        try:
            try:
                answer = Answer(uri, await self._connector(uri))
            except OSError as error:
                answer = Answer(uri, error=_mapped(error))
            self._answers.append(answer)
        finally:
            self._ended()

    def _ended(self) -> None:
        self._running -= 1
        self._changed.set()
        self._changed = anyio.Event()


def _mapped(error: OSError) -> ConnectError:
    if isinstance(error, ConnectError):
        return error
    mapped = ConnectError(f"the connector raised {type(error).__name__}: {error}")
    mapped.__cause__ = error
    return mapped


async def _close(stream: ByteStream) -> None:
    # Shielded and cancelled at once: a cancelled block closes all of its streams, and waits for none.
    with anyio.CancelScope(shield=True) as scope:
        scope.cancel()
        try:
            await stream.aclose()
        except Exception:
            pass


def call_all(connector: Connector, uris: Iterable[Uri] | AsyncIterable[Uri], limit: int = 50) -> CallAll:
    """Dial all of ``uris`` and return the answers in the order in which they come::

        async with call_all(connector, uris, limit=50) as answers:
            async for answer in answers:
                if answer.stream is not None:
                    ...

    A stream belongs to whoever has taken its answer. When the block ends, however it ends, dials under way are
    cancelled, and streams whose answers were not taken are closed. Each dial is one of its own, with its own ledger,
    even inside another dial.

    Args:
        connector: dials each target.
        uris: the targets, from an iterable or an async one, which is read as there is room and closed at the end.
        limit: dials under way and answers not taken, together: whoever takes no answers stops the dialling.

    Raises:
        TypeError, ValueError: an argument is wrong.
        Exception: in the ``async with`` block, whatever else than an `OSError` the connector raises: a bug ends all.
    """
    check_connector(connector)
    check_count("limit", limit, optional=False)
    if isinstance(uris, str) or not isinstance(cast(object, uris), (Iterable, AsyncIterable)):
        raise TypeError(f"uris must be an iterable of Uris, not {uris!r}")
    return CallAll(connector, uris, limit)
