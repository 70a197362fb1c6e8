"""A leaf whose dials follow a script, for tests of layers that dial more than once."""

from __future__ import annotations

from collections.abc import Iterable

import anyio
from anyio.abc import ByteStream

from ziggurat.layers.testing import MemoryStream, stream_pair
from ziggurat.services import ConnectRefused, Uri, WrappedStream, dial, phase

TARGET = Uri.parse("http://target.test:80")


class Leaf:
    """Plays one step for each dial: an exception to raise, or ``None`` for a stream; the last step repeats.

    Attributes:
        calls: the time of each dial, in seconds since the leaf was made.
        streams: the streams that it returned.
        cancelled: how many dials were cancelled.
    """

    def __init__(self, *steps: BaseException | None, seconds: float | Iterable[float] = 0.0, name: str = "tcp") -> None:
        self.steps = list(steps) or [None]
        self.seconds = [seconds] if isinstance(seconds, (int, float)) else list(seconds)
        self.name = name
        self.calls: list[float] = []
        self.streams: list[WrappedStream] = []
        self.cancelled = 0
        self.running = 0
        self._start: float | None = None

    @property
    def open(self) -> int:
        """How many of its streams are open."""
        return sum(not each.inner.closed for each in self.streams if isinstance(each.inner, MemoryStream))

    async def __call__(self, uri: Uri, /) -> ByteStream:
        with dial(uri) as current:
            if self._start is None:
                self._start = anyio.current_time()
            step = self.steps[min(len(self.calls), len(self.steps) - 1)]
            seconds = self.seconds[min(len(self.calls), len(self.seconds) - 1)]
            self.calls.append(round(anyio.current_time() - self._start, 6))
            self.running += 1
            try:
                with phase(self.name, via=None if uri == current.ledger.target else uri.authority):
                    if seconds:
                        await anyio.sleep(seconds)
                    if step is not None:
                        raise step
            except anyio.get_cancelled_exc_class():
                self.cancelled += 1
                raise
            finally:
                self.running -= 1
            stream = WrappedStream(stream_pair()[0])
            self.streams.append(stream)
            return current.established(stream)


def refused(count: int = 1) -> list[ConnectRefused]:
    return [ConnectRefused("connection refused", hint="nothing listens there") for _ in range(count)]
