"""The peer says why it leaves."""

from __future__ import annotations

from ziggurat.layers.events import Level, write_event
from ziggurat.node.rejection import DUPLICATE, LOOPBACK, MAX_REASON
from ziggurat.node.router import Router
from ziggurat.services.errors import one_line

__all__ = ["RejectReceiver"]


class RejectReceiver:
    """Closes the connection with the peer's own reason. Nothing is answered."""

    types = ("reject",)

    def __init__(self, router: Router) -> None:
        self._router = router
        self._route = router.subscribe(*self.types)

    async def run(self) -> None:
        async for message in self._route:
            reason = one_line(message.reject.reason.encode()[:MAX_REASON].decode(errors="ignore"))
            # The two happen all the time, and nobody is to do anything about them; kaspad says so at debug, too.
            level: Level = "debug" if reason in (DUPLICATE, LOOPBACK) else "warning"
            write_event(None, level, "peer.rejected_us", peer=str(self._router.address), reason=reason)
            self._router.close(f"the peer rejected us: {reason}")
