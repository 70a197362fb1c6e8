"""A connector whose far end the test plays by hand, as ``tower-test`` does.

::

    connector, handle = mock_connector()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(my_layer.layer(connector), uri)
        request = await handle.next()
        far = request.accept()
        assert await far.receive() == b"hello"
"""

from __future__ import annotations

from collections import deque

import anyio
from anyio.abc import ByteStream

from ziggurat.layers.testing.memory import MemoryStream, stream_pair
from ziggurat.services.dial import dial, phase
from ziggurat.services.uri import Uri

__all__ = ["MockConnector", "MockHandle", "MockRequest", "mock_connector"]


class MockRequest:
    """One dial that reached the mock connector; answer it with `accept` or `fail`, or leave it hanging.

    Attributes:
        uri: where the dial goes.
        cancelled: whether the caller gave up before the answer reached it.
    """

    def __init__(self, uri: Uri) -> None:
        self.uri = uri
        self.cancelled = False
        self._answered = anyio.Event()
        self._answer: ByteStream | BaseException | None = None

    @property
    def answered(self) -> bool:
        """Whether `accept` or `fail` was called."""
        return self._answer is not None

    def accept(self, max_buffer: int = 65536) -> MemoryStream:
        """Answer with one end of a new stream pair and give the other end, the far one.

        Raises:
            RuntimeError: it was answered before, or the caller has gone.
        """
        near, far = stream_pair(max_buffer)
        self.accept_with(near)
        return far

    def accept_with(self, stream: ByteStream) -> None:
        """Answer with ``stream``. `MockHandle.open_streams` counts it if it is a `MemoryStream`.

        Raises:
            RuntimeError: it was answered before, or the caller has gone.
        """
        self._set(stream)

    def fail(self, error: BaseException) -> None:
        """Answer by raising ``error``.

        Raises:
            RuntimeError: it was answered before, or the caller has gone.
        """
        self._set(error)

    @property
    def stream(self) -> ByteStream | None:
        """The near end that it was answered with, or ``None``."""
        return None if isinstance(self._answer, BaseException) else self._answer

    def _set(self, answer: ByteStream | BaseException) -> None:
        if self.cancelled:
            raise RuntimeError(f"the dial to {self.uri} was cancelled: nobody waits for an answer")
        if self._answer is not None:
            raise RuntimeError(f"the dial to {self.uri} was answered before")
        self._answer = answer
        self._answered.set()

    async def wait(self) -> ByteStream:
        """Wait for the answer; what the mock connector does."""
        try:
            await self._answered.wait()
        except BaseException:
            self.cancelled = True
            # An answer may be on its way to a caller who has just been cancelled: nobody else would close it.
            if self.stream is not None:
                await anyio.aclose_forcefully(self.stream)
            raise
        if isinstance(self._answer, BaseException):
            raise self._answer
        assert self._answer is not None
        return self._answer

    def __repr__(self) -> str:
        state = "cancelled" if self.cancelled else "answered" if self.answered else "waiting"
        return f"MockRequest({self.uri}, {state})"


class MockHandle:
    """The test's side of a mock connector.

    Attributes:
        requests: every dial that came, in order.
    """

    def __init__(self) -> None:
        self.requests: list[MockRequest] = []
        self._unseen: deque[MockRequest] = deque()
        self._arrived = anyio.Event()

    async def next(self, timeout: float | None = 10.0) -> MockRequest:
        """Wait for the next dial.

        Args:
            timeout: seconds to wait at most; ``None`` for no limit.

        Raises:
            AssertionError: none came.
        """
        with anyio.move_on_after(timeout):
            while not self._unseen:
                await self._arrived.wait()
            return self._unseen.popleft()
        raise AssertionError(f"no dial reached the mock connector within {timeout:g} s")

    @property
    def waiting(self) -> int:
        """Dials that were neither answered nor cancelled."""
        return sum(not (request.answered or request.cancelled) for request in self.requests)

    @property
    def open_streams(self) -> int:
        """Streams that were given to the caller and not closed by it."""
        near = (request.stream for request in self.requests)
        return sum(isinstance(stream, MemoryStream) and not stream.closed for stream in near)

    def add(self, request: MockRequest) -> None:
        """Take in a dial; what the mock connector does."""
        self.requests.append(request)
        self._unseen.append(request)
        self._arrived.set()
        self._arrived = anyio.Event()

    def __repr__(self) -> str:
        return f"MockHandle({self.requests})"


class MockConnector:
    """A leaf that asks its `MockHandle` for each answer; made by `mock_connector`.

    It keeps a leaf's contracts: it joins the dial, and waits for the answer in a phase of its own.
    """

    def __init__(self, handle: MockHandle, phase: str) -> None:
        self._handle = handle
        self._phase = phase

    async def __call__(self, uri: Uri, /) -> ByteStream:
        with dial(uri) as current:
            request = MockRequest(uri)
            self._handle.add(request)
            with phase(self._phase, via=None if uri == current.ledger.target else uri.authority):
                stream = await request.wait()
            return current.established(stream)

    def __repr__(self) -> str:
        return "MockConnector()"


def mock_connector(phase: str = "mock") -> tuple[MockConnector, MockHandle]:
    """Make a connector and the handle that plays its far end.

    Args:
        phase: the name under which the ledger shows the wait for an answer.
    """
    handle = MockHandle()
    return MockConnector(handle, phase), handle
