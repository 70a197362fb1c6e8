"""A stream that remembers in which pieces things arrived."""

from __future__ import annotations

from anyio.abc import ByteStream

from ziggurat.layers.testing.faults import FaultStream

__all__ = ["RecordingStream"]


class RecordingStream(FaultStream):
    """Reads whole chunks, enters them in ``chunks``, and gives them out in the sizes that are asked for."""

    def __init__(self, inner: ByteStream, chunks: list[bytes]) -> None:
        super().__init__(inner)
        self._chunks: list[bytes] | None = chunks
        self._rest = b""

    async def receive(self, max_bytes: int = 65536) -> bytes:
        if not self._rest:
            self._rest = await super().receive()
            if self._chunks is not None:
                self._chunks.append(self._rest)
        data, self._rest = self._rest[:max_bytes], self._rest[max_bytes:]
        return data

    def stop(self) -> None:
        """Remember nothing from here on."""
        self._chunks = None
