"""The handshake over a connection: `Handshake` with messages and a clock."""

from __future__ import annotations

from collections.abc import Callable

import anyio

from ziggurat.node.handshake.handshake import Handshake, State
from ziggurat.node.handshake.rejection import HandshakeError, Kind
from ziggurat.node.peer.route import PeerClosed, Route
from ziggurat.node.peer.router import Router
from ziggurat.node.wire.convert.version import Version
from ziggurat.node.wire.p2p_pb2 import KaspadMessage

__all__ = ["run_handshake"]

HANDSHAKE_TYPES = ("version", "verack", "ready", "reject")


async def run_handshake(router: Router, handshake: Handshake, subscribe: Callable[[Version], None]) -> Version:
    """Come to terms with the peer, or tell it why not and close.

    Args:
        router: `Router.run` is running, or will be soon.
        handshake: fresh.
        subscribe: called with the peer's Version when nothing speaks against it and just before our Ready goes out:
            from then on the peer's messages have to find their routes.

    Returns:
        The peer's Version.

    Raises:
        HandshakeError: the router is closed.
    """
    route = router.subscribe(*HANDSHAKE_TYPES)
    try:
        await _talk(router, route, handshake, subscribe)
        for message in router.unsubscribe(route):
            handshake.receive(message, anyio.current_time())  # none is due any more: a Reject, or a breach
    except HandshakeError as error:
        router.close(str(error.message), reject=error.reject)
        raise
    except PeerClosed as error:
        # The router is closed already, and knows why.
        kind = Kind.BUSY if "RESOURCE_EXHAUSTED" in str(error) else Kind.CLOSED
        raise HandshakeError(kind, str(error), by_peer=True) from None
    except BaseException:
        router.close("given up during the handshake")
        raise
    assert handshake.peer is not None
    return handshake.peer


async def _talk(router: Router, route: Route, handshake: Handshake, subscribe: Callable[[Version], None]) -> None:
    await _send(router, handshake.begin(anyio.current_time()))
    while handshake.state is not State.READY:
        message = None
        left = float("inf") if handshake.deadline is None else handshake.deadline - anyio.current_time()
        with anyio.move_on_after(left):
            message = await route.receive()
        now = anyio.current_time()
        if message is None:
            handshake.expire(now)
            continue
        await _send(router, handshake.receive(message, now))
        if handshake.state is State.AGREED and handshake.peer is not None:
            subscribe(handshake.peer)
            await _send(router, handshake.announce(now))


async def _send(router: Router, messages: list[KaspadMessage]) -> None:
    for message in messages:
        try:
            await router.send(message)
        except PeerClosed:
            return  # what the peer said before it went is still to be read, and may be a Reject
