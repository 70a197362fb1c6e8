"""A caller's end of one call: what has arrived stays readable, however the stream ends."""

from __future__ import annotations

from collections.abc import Callable

from grpclib.exceptions import GRPCError, StreamTerminatedError
from grpclib.metadata import USER_AGENT as GRPCLIB_USER_AGENT
from grpclib.protocol import EventsProcessor
from h2.errors import ErrorCodes
from h2.exceptions import NoAvailableStreamIDError, TooManyStreamsError

from ziggurat.services.channel.compression import ACCEPT_ENCODING
from ziggurat.services.channel.stream import Headers, Stream
from ziggurat.services.errors import copy_error

__all__ = ["ClientStream"]

USER_AGENT_HEADER = ("user-agent", GRPCLIB_USER_AGENT)


class ClientStream(Stream):
    """A caller's end."""

    _broken: Exception | None = None  # what came instead of the rest of the response

    async def send_request(
        self, headers: Headers, end_stream: bool = False, *, _processor: EventsProcessor
    ) -> Callable[[], None]:
        """Open the stream with its request headers, once the peer's limit on concurrent streams lets it.

        Raises:
            CallRefused: the connection takes no new call; nothing was sent.
        """
        connection, engine = self.connection, self._h2_connection
        self._rewrite(headers)
        while True:
            connection.check_accepting()
            if not connection.write_ready.is_set():
                await connection.wait_writable()
                continue
            try:
                stream_id = engine.get_next_available_stream_id()
                engine.send_headers(stream_id, headers, end_stream=end_stream)
            except TooManyStreamsError:
                connection.stream_close_waiter.clear()
                await connection.stream_close_waiter.wait()
                continue
            except NoAvailableStreamIDError:
                connection.refuse_new("the connection has used up its stream numbers")
                continue
            self.init_stream(stream_id, connection)
            release_stream = _processor.register(self)
            connection.flush()
            connection.headers_send_process()
            return release_stream

    def _rewrite(self, headers: Headers) -> None:
        """Say who we are, and what we can inflate; grpclib's client has no hook for either."""
        options = self.connection.options
        self.gzip = options.compression == "gzip"
        try:
            headers[headers.index(USER_AGENT_HEADER)] = ("user-agent", options.user_agent)
        except ValueError:
            pass  # the caller's own listener has taken it out
        headers.append(ACCEPT_ENCODING)
        if self.gzip:
            headers.append(("grpc-encoding", "gzip"))

    async def recv_headers(self) -> Headers:
        """Return the response's headers."""
        if self.headers is None and self._broken is None:
            await self.headers_received.wait()
        if self.headers is None:
            raise self._reason()
        return self.headers

    async def recv_trailers(self) -> Headers:
        """Return the trailers; none at all when the peer ended the stream without, which is no valid status."""
        if self.trailers is None and self._broken is None and not self.ended:
            await self.trailers_received.wait()
        if self.trailers is None:
            if self.ended:
                return []
            raise self._reason()
        return self.trailers

    def _reason(self) -> Exception:
        return copy_error(self._broken or StreamTerminatedError("Connection lost"))

    def __ended__(self) -> None:
        super().__ended__()
        self.headers_received.set()
        self.trailers_received.set()

    def terminate(self, error: Exception) -> None:
        """The stream is over. A complete response stays as it is: only sending stops (RFC 9113 8.1)."""
        if self.ended:
            self.stop(error)
        else:
            super().terminate(error)
            self._broken = self._broken or error
            self.headers_received.set()
            self.trailers_received.set()

    def _refuse(self, error: GRPCError) -> None:
        self.reset_nowait(ErrorCodes.CANCEL)
        self.stop(error)
        if self.trailers is None:
            self._broken = self._broken or error
            self.headers_received.set()
            self.trailers_received.set()

    async def reset(self, error_code: ErrorCodes = ErrorCodes.CANCEL) -> None:
        """Cancel the call; CANCEL is what gRPC servers take for it, where grpclib says NO_ERROR."""
        self.reset_nowait(error_code)

    def reset_nowait(self, error_code: ErrorCodes = ErrorCodes.CANCEL) -> None:
        """Cancel the call; the frame leaves when the transport takes it."""
        super().reset_nowait(error_code)
