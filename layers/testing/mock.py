"""A connector whose far end is driven by the test, as in ``tower-test``.

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
    """A dial that reached the mock connector; answer it with `accept` or `fail`, or let it hang.

    Attributes:
        uri: the dial's target.
        cancelled: whether the caller was cancelled before it got the answer.
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
        """Let the dial succeed with the near end of a new stream pair; return the far end.

        Raises:
            RuntimeError: already answered, or the caller was cancelled.
        """
        near, far = stream_pair(max_buffer)
        self.accept_with(near)
        return far

    def accept_with(self, stream: ByteStream) -> None:
        """Let the dial succeed with ``stream``. `MockHandle.open_streams` counts it if it is a `MemoryStream`.

        Raises:
            RuntimeError: already answered, or the caller was cancelled.
        """
        self._set(stream)

    def fail(self, error: BaseException) -> None:
        """Answer by raising ``error``.

        Raises:
            RuntimeError: already answered, or the caller was cancelled.
        """
        self._set(error)

    @property
    def stream(self) -> ByteStream | None:
        """The stream that it was answered with, or ``None``."""
        return None if isinstance(self._answer, BaseException) else self._answer

    def _set(self, answer: ByteStream | BaseException) -> None:
        if self.cancelled:
            raise RuntimeError(f"the dial to {self.uri} was cancelled and takes no answer")
        if self._answer is not None:
            raise RuntimeError(f"the dial to {self.uri} was already answered")
        self._answer = answer
        self._answered.set()

    async def wait(self) -> ByteStream:
        """Wait for the answer; called by the mock connector."""
        try:
            await self._answered.wait()
        except BaseException:
            self.cancelled = True
            # The answer may have crossed with the cancellation: then it is closed here or not at all.
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
        requests: every dial, in order.
    """

    def __init__(self) -> None:
        self.requests: list[MockRequest] = []
        self._unseen: deque[MockRequest] = deque()
        self._arrived = anyio.Event()

    async def next(self, timeout: float | None = 10.0) -> MockRequest:
        """Wait for the next dial.

        Args:
            timeout: maximum wait, in seconds; ``None`` for no limit.

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
        """How many dials were neither answered nor cancelled."""
        return sum(not (request.answered or request.cancelled) for request in self.requests)

    @property
    def open_streams(self) -> int:
        """How many streams the caller got and has not closed."""
        near = (request.stream for request in self.requests)
        return sum(isinstance(stream, MemoryStream) and not stream.closed for stream in near)

    def add(self, request: MockRequest) -> None:
        """Add a dial; called by the mock connector."""
        self.requests.append(request)
        self._unseen.append(request)
        self._arrived.set()
        self._arrived = anyio.Event()

    def __repr__(self) -> str:
        return f"MockHandle({self.requests})"


class MockConnector:
    """A leaf that gets each answer from its `MockHandle`; made by `mock_connector`.

    It keeps a leaf's contracts: it joins the dial and waits for the answer inside a phase.
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
    """Make a connector and the handle that drives its far end.

    Args:
        phase: name of the phase in which the connector waits for an answer.
    """
    handle = MockHandle()
    return MockConnector(handle, phase), handle
