"""What a connection of a channel has done, for whoever watches it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ziggurat.services.channel.client_protocol import ClientProtocol

__all__ = ["ConnectionSnapshot", "take_snapshot"]


@dataclass(frozen=True, slots=True)
class ConnectionSnapshot:
    """A connection at one moment. Sizes are in bytes.

    Attributes:
        peer: the address of the other end of the socket, of a proxy where there is one; ``None`` if it has none.
        accepting: whether it takes new calls; a draining connection does not.
        streams_open: calls under way.
        streams_started: calls so far.
        max_streams: how many the server allows at a time; ``None`` if it has set no limit.
        bytes_sent: over HTTP/2, headers and frames included; under TLS, before encryption.
        bytes_received: the same.
        send_window: what the server lets us send on all streams together.
        receive_window: what it may still send to us.
        unread: what has come and was not read.
    """

    peer: str | None
    accepting: bool
    streams_open: int
    streams_started: int
    max_streams: int | None
    bytes_sent: int
    bytes_received: int
    send_window: int
    receive_window: int
    unread: int


def take_snapshot(protocol: ClientProtocol) -> ConnectionSnapshot:
    """Return what there is to say of a connection now."""
    core = protocol.core
    return ConnectionSnapshot(
        peer=protocol.peer_name,
        accepting=protocol.accepting,
        streams_open=len(core.streams),
        streams_started=protocol.streams_started,
        max_streams=None if core.unlimited else core.max_streams,
        bytes_sent=protocol.bytes_sent,
        bytes_received=protocol.bytes_received,
        send_window=core.send_window,
        receive_window=core.receive_window,
        unread=core.unread,
    )
