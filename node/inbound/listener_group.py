"""Several listeners as one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from ziggurat.node.address import NetAddress
from ziggurat.node.inbound.listener import Listener, TcpListener
from ziggurat.node.inbound.sockets import needs_v6only

__all__ = ["ListenerGroup", "tcp_listeners"]


class ListenerGroup:
    """A `Listener` on several addresses: all of them start, or none does.

    Args:
        listeners: at least one listener.

    Attributes:
        addresses: the addresses listened on; empty before the start.

    Raises:
        ValueError: there is no listener.
    """

    def __init__(self, listeners: Sequence[Listener]) -> None:
        if not listeners:
            raise ValueError("listeners must not be empty")
        self.addresses: tuple[NetAddress, ...] = ()
        self._listeners = tuple(listeners)

    async def start(self, factory: Callable[[], asyncio.Protocol], /) -> NetAddress:
        """Start all listeners, and return the address of the first.

        Raises:
            OSError: an address cannot be listened on; none is then.
        """
        started: list[NetAddress] = []
        try:
            for listener in self._listeners:
                started.append(await listener.start(factory))
        except BaseException:
            await self.aclose()
            raise
        self.addresses = tuple(started)
        return started[0]

    async def aclose(self) -> None:
        for listener in self._listeners:
            await listener.aclose()


def tcp_listeners(addresses: Sequence[NetAddress]) -> list[TcpListener]:
    """Return a listener per address. ``[::]`` takes IPv4, too, unless another of the addresses takes the port there."""
    return [TcpListener(address, v6only=needs_v6only(address, addresses)) for address in addresses]
