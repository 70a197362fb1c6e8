"""Running a `Handshake` over a stream, with the event loop's clock."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio

from ziggurat.node.handshake.handshake import Handshake, State
from ziggurat.node.handshake.rejection import HandshakeError, Kind
from ziggurat.node.wire import KaspadMessage, LossReason, MessageStream, RejectMessage, StreamLost, Version

__all__ = ["HANDSHAKE_MESSAGE_SIZE", "closing_with_reject", "run_handshake"]

HANDSHAKE_MESSAGE_SIZE = 16 * 1024
"""Bytes of a message, uncompressed, from a peer that has not completed the handshake. A Version takes some 150, and 256
more at most for the user agent; a Reject may be longer."""

HANDSHAKE_TYPES = frozenset({"version", "verack", "ready", "reject"})

REJECT_TIMEOUT = 1.0
"""Seconds for sending a Reject before the stream is closed."""


async def run_handshake(stream: MessageStream, handshake: Handshake, *, until: State = State.READY) -> Version:
    """Exchange messages until the handshake reaches a state.

    Args:
        stream: an open stream.
        handshake: a new handshake, or one that an earlier call has brought to ``AGREED``.
        until: ``AGREED`` returns once the peer is accepted, before our Ready is sent; ``READY`` returns when the
            handshake is complete. The peer sends messages of other types only after our Ready.

    Returns:
        The peer's Version.

    Raises:
        HandshakeError: the handshake failed; `closing_with_reject` sends the Reject.
    """
    if handshake.state is State.GREETING:
        stream.expect(lambda name, response_id: name in HANDSHAKE_TYPES and not response_id)
        await _send(stream, handshake, handshake.begin(anyio.current_time()))
    while handshake.state is not until:
        if handshake.state is State.AGREED:
            await _send(stream, handshake, handshake.announce(anyio.current_time()))
        message = await _receive(stream, handshake)
        _require_handshake_message(message)
        await _send(stream, handshake, handshake.receive(message, anyio.current_time()))
    assert handshake.peer is not None
    return handshake.peer


@asynccontextmanager
async def closing_with_reject(stream: MessageStream) -> AsyncGenerator[None, None]:
    """Close the stream if the block raises. If we refused the peer, send a Reject with the reason first."""
    try:
        yield
    except BaseException as error:
        with anyio.CancelScope(shield=True):  # both steps have time limits
            if isinstance(error, HandshakeError) and error.reject is not None:
                with anyio.move_on_after(REJECT_TIMEOUT):
                    await _try_to_send(stream, KaspadMessage(reject=RejectMessage(reason=error.reject)))
            await stream.aclose()
        raise


async def _receive(stream: MessageStream, handshake: Handshake) -> KaspadMessage:
    try:
        with anyio.move_on_after(_time_left(handshake)):
            message = await stream.receive()
            if message is None:
                raise HandshakeError(Kind.CLOSED, "it ended its stream", by_peer=True)
            return message
    except StreamLost as error:
        kind = Kind.BUSY if error.reason is LossReason.BUSY else Kind.CLOSED
        raise HandshakeError(kind, str(error), by_peer=True) from error
    raise handshake.overdue()


def _require_handshake_message(message: KaspadMessage) -> None:
    """Refuse messages that belong to no handshake, without a Reject, as kaspad does."""
    payload = message.WhichOneof("payload")
    if payload not in HANDSHAKE_TYPES or message.response_id:
        reason = f"unexpected message during the handshake: {payload or 'no known payload'}"
        raise HandshakeError(Kind.UNEXPECTED, reason, by_peer=False, silent=True)


async def _send(stream: MessageStream, handshake: Handshake, messages: list[KaspadMessage]) -> None:
    for message in messages:
        with anyio.move_on_after(_time_left(handshake)) as scope:
            await _try_to_send(stream, message)
        if scope.cancelled_caught:
            raise handshake.overdue()


async def _try_to_send(stream: MessageStream, message: KaspadMessage) -> None:
    try:
        await stream.send(message)
    except StreamLost:
        pass  # messages that the peer sent before, perhaps a Reject, can still be read


def _time_left(handshake: Handshake) -> float:
    return math.inf if handshake.deadline is None else handshake.deadline - anyio.current_time()
