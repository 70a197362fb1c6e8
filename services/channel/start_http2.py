"""From an open stream to a connection that speaks HTTP/2.

The exact type of the outermost stream decides the path. Our own `TransportStream` hands its transport over; every
other stream is pumped. A typed attribute would be the wrong thing to ask: wrappers forward those of the stream below,
and a transport that was found through a TLS stream would carry the calls in clear text.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from anyio import BrokenResourceError, BusyResourceError, CancelScope, ClosedResourceError, move_on_after
from anyio.abc import ByteStream

from ziggurat.services.channel.options import ConnectionOptions
from ziggurat.services.channel.protocol import ClientProtocol
from ziggurat.services.channel.transport import CLOSE_LIMIT, StreamTransport
from ziggurat.services.errors import ConnectError, Http2Error
from ziggurat.services.stream import ObservedStream
from ziggurat.services.transport_stream import TransportStream

__all__ = ["start_http2"]


async def start_http2(
    stream: ByteStream, options: ConnectionOptions, *, on_change: Callable[[], None]
) -> ClientProtocol:
    """Give ``stream`` to a new protocol, and wait until the peer's SETTINGS have come.

    Args:
        stream: belongs to the protocol from now on; on an error it is closed.
        options: for the connection.
        on_change: called when the connection takes no new calls any more, and again when it is lost.

    Raises:
        Http2Error: the peer speaks something else, or hung up before its SETTINGS; the latter is transient.
        ConnectError: the stream was lost before.
    """
    settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def settle() -> None:
        if not settled.done():
            settled.set_result(None)

    def lost(reason: str) -> None:
        settle()
        if isinstance(stream, ObservedStream):
            stream.report_close()  # after a hand-over nobody else can tell
        on_change()

    protocol = ClientProtocol(options, on_settings=settle, on_draining=on_change, on_lost=lost)
    _connect(stream, protocol)
    try:
        await settled
        if not protocol.accepting:
            raise _refusal(protocol)
    except BaseException:
        protocol.abort()
        with CancelScope(shield=True), move_on_after(CLOSE_LIMIT):
            await protocol.lost.wait()
        raise
    return protocol


def _connect(stream: ByteStream, protocol: ClientProtocol) -> None:
    if type(stream) is not TransportStream:
        StreamTransport(stream, protocol)
        return
    try:
        stream.hand_over(protocol)
    except (BrokenResourceError, ClosedResourceError) as error:
        raise ConnectError("the connection was lost as soon as it was open") from error
    except BusyResourceError as error:
        hint = "a layer must be done with the stream when it answers"
        raise ConnectError("the stream is in use by another task", hint=hint, transient=False) from error


def _refusal(protocol: ClientProtocol) -> Http2Error:
    if protocol.foreign:
        hint = "is this the port of a gRPC server?"
        return Http2Error(protocol.failure or "the peer does not speak HTTP/2", hint=hint)
    if protocol.settings_received:
        return Http2Error(f"{protocol.failure or 'closed by the peer'}, with its SETTINGS", transient=True)
    return Http2Error(protocol.failure or "closed by the peer before its SETTINGS", transient=True)
