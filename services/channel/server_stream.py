"""A handler's end of one call."""

from __future__ import annotations

from ziggurat.services.channel.compression import ACCEPT_ENCODING, accepts_gzip
from ziggurat.services.channel.stream import Headers, Stream

__all__ = ["ServerStream"]


class ServerStream(Stream):
    """A handler's end; ``headers`` are the request's."""

    _answered = False

    async def send_headers(self, headers: Headers, end_stream: bool = False) -> None:
        """Send headers or trailers; the first ones say what we can inflate, and whether we compress."""
        if not self._answered:
            self._answered = True
            headers.append(ACCEPT_ENCODING)
            if self.connection.options.compression == "gzip" and not end_stream and accepts_gzip(self.headers):
                self.gzip = True
                headers.append(("grpc-encoding", "gzip"))
        await super().send_headers(headers, end_stream)

    def terminate(self, error: Exception) -> None:
        """The client has given up: the handler is cancelled, as grpclib does it."""
        super().terminate(error)
        if self.wrapper is not None:
            self.wrapper.cancel(error)
