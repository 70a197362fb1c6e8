"""The peer's Reject, which says why it closes the connection."""

from __future__ import annotations

from ziggurat.node.handshake import MAX_REASON
from ziggurat.node.peer import Router
from ziggurat.services.errors import one_line

__all__ = ["RejectReceiver"]


class RejectReceiver:
    """Closes the connection with the peer's reason, which ``peer.disconnected`` logs. Sends no reply."""

    types = ("reject",)

    def __init__(self, router: Router) -> None:
        self._router = router
        self._route = router.subscribe(*self.types)

    async def run(self) -> None:
        async for message in self._route:
            reason = one_line(message.reject.reason.encode()[:MAX_REASON].decode(errors="ignore"))
            self._router.close(f"the peer rejected us: {reason}")
