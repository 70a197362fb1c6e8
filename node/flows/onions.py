"""What peers are told of onion services, and which of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio

from ziggurat.node.address import OnionNetAddress
from ziggurat.node.peer import PeerInfo
from ziggurat.node.wire import ONION_SERVICES

__all__ = ["PUBLICATION_TIMEOUT", "OnionGossip"]

PUBLICATION_TIMEOUT = 60.0
"""Seconds for which an answer waits for our onion service to be published. A peer asks only once, right after the
handshake, and a node that has just started would be known to none of its first peers. kaspad waits for 120."""


def _no() -> bool:
    return False


def _nothing() -> None:
    return None


@dataclass(frozen=True, slots=True)
class OnionGossip:
    """What a node says of onion services.

    Attributes:
        dials: whether it can dial them. Only then it says so in its Version, and tells and takes any.
        own: returns its own one, as soon as its name is known; ``None`` without one.
        published: waits until its own one can be found, and returns it; ``None`` without one.
        public: whether peers that were not reached by onion are told of its own one.
    """

    dials: Callable[[], bool] = _no
    own: Callable[[], OnionNetAddress | None] = _nothing
    published: Callable[[], Awaitable[OnionNetAddress]] | None = None
    public: bool = False

    @property
    def services(self) -> int:
        """The bits for our Version."""
        return ONION_SERVICES if self.dials() else 0

    async def own_for(self, info: PeerInfo) -> OnionNetAddress | None:
        """Return our own onion service, if a peer is to be told of it and it can be found, now or in a minute.

        Peers at an IP address are not told: they know this machine, or an exit, by another id, and it would link the
        two. Nor are inbound peers from any other proxy than our own onion service.
        """
        if self.published is None or not info.onions or not (self.public or info.by_onion):
            return None
        with anyio.move_on_after(PUBLICATION_TIMEOUT):
            return await self.published()
        return None
