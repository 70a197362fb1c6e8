"""Start HTTP/2 on an open stream.

The exact type of the outermost stream decides how. Our own `TransportStream` and `TlsStream` hand over; every other
stream is pumped. A typed attribute must not decide this: wrappers forward the attributes of the stream below, and a
transport taken from below a TLS stream would carry the calls in clear text.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextvars import Context

from anyio import BrokenResourceError, BusyResourceError, CancelScope, ClosedResourceError, move_on_after
from anyio.abc import ByteStream

from ziggurat.services.channel.client_protocol import ClientProtocol
from ziggurat.services.channel.options import ConnectionOptions
from ziggurat.services.errors import ConnectError, Http2Error, TlsError
from ziggurat.services.signal import Signal
from ziggurat.services.stream import ObservedStream
from ziggurat.services.stream_transport import CLOSE_LIMIT, StreamTransport
from ziggurat.services.tls import TlsStream
from ziggurat.services.tls_errors import broken_tls
from ziggurat.services.transport_stream import TransportStream

__all__ = ["start_http2"]


async def start_http2(
    stream: ByteStream, options: ConnectionOptions, *, on_change: Callable[[], None]
) -> ClientProtocol:
    """Start HTTP/2 on ``stream`` and wait for the peer's SETTINGS.

    Args:
        stream: the open stream. The protocol owns it from now on; on an error it is closed.
        options: the settings of the connection.
        on_change: called when the connection stops accepting calls, and again when it is lost.

    Raises:
        Http2Error: the peer does not speak HTTP/2, or hung up before its SETTINGS; only the latter is transient.
        TlsError: the peer sent a TLS alert after the handshake, e.g. since it requires a client certificate.
        ConnectError: the stream was already lost or is in use by another task.
    """
    settled = Signal()
    protocol = ClientProtocol(
        options, on_settings=settled.set, on_draining=on_change, on_lost=_Lost(stream, settled, on_change)
    )
    _connect(stream, protocol)
    try:
        await settled.wait()
        if not protocol.accepting:
            raise _refusal(protocol) from protocol.loss
    except BaseException:
        protocol.abort()
        with CancelScope(shield=True), move_on_after(CLOSE_LIMIT):
            await protocol.lost.wait()
        raise
    return protocol


class _Lost:
    """What follows when a connection is lost. A closure would take three times the memory of a connection's life."""

    __slots__ = ("_on_change", "_settled", "_stream")

    def __init__(self, stream: ByteStream, settled: Signal, on_change: Callable[[], None]) -> None:
        self._stream = stream
        self._settled = settled
        self._on_change = on_change

    def __call__(self, reason: str) -> None:
        self._settled.set()
        if isinstance(self._stream, ObservedStream):
            self._stream.report_close()  # after a hand-over the stream itself no longer notices
        self._on_change()


def _connect(stream: ByteStream, protocol: ClientProtocol) -> None:
    if type(stream) is not TransportStream and type(stream) is not TlsStream:
        StreamTransport(stream, protocol)
        return
    stream.heir = protocol
    try:
        # In a fresh context: the transport keeps it for as long as it reads, with all that the dial has put there.
        Context().run(stream.hand_over, protocol)
    except (BrokenResourceError, ClosedResourceError) as error:
        stream.heir = None
        raise ConnectError("the connection was lost as soon as it opened") from error
    except BusyResourceError as error:
        stream.heir = None
        hint = "a layer must stop using the stream before it returns it"
        raise ConnectError("the stream is in use by another task", hint=hint, transient=False) from error


def _refusal(protocol: ClientProtocol) -> Http2Error | TlsError:
    if isinstance(protocol.loss, ssl.SSLError):
        return broken_tls(protocol.loss)
    if protocol.foreign:
        hint = "is this the port of a gRPC server?"
        return Http2Error(protocol.failure or "the peer does not speak HTTP/2", hint=hint)
    if protocol.settings_received:
        return Http2Error(f"{protocol.failure or 'closed by the peer'}, right after its SETTINGS", transient=True)
    return Http2Error(protocol.failure or "closed by the peer before its SETTINGS", transient=True)
