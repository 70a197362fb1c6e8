"""The result of `Endpoint.connect`, which can be awaited or entered."""

from __future__ import annotations

from collections.abc import Generator
from types import TracebackType
from typing import TYPE_CHECKING

from anyio import CancelScope

from ziggurat.services.channel.channel import Channel
from ziggurat.services.service import Connector

if TYPE_CHECKING:
    from ziggurat.services.channel.endpoint import Endpoint

__all__ = ["Connecting"]


class Connecting:
    """A channel about to be connected: ``await`` it or use ``async with``. Each use creates a new channel."""

    __slots__ = ("_channel", "_connector", "_endpoint")

    def __init__(self, endpoint: Endpoint, connector: Connector) -> None:
        self._endpoint = endpoint
        self._connector = connector
        self._channel: Channel | None = None

    def __await__(self) -> Generator[None, None, Channel]:
        return self._connect().__await__()

    async def __aenter__(self) -> Channel:
        self._channel = await self._connect()
        return self._channel

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.aclose()

    async def _connect(self) -> Channel:
        channel = Channel(self._endpoint, self._connector)
        try:
            await channel._reconnect.dial_here()  # pyright: ignore[reportPrivateUsage]
        except BaseException:
            with CancelScope(shield=True):  # cannot hang: there is nothing to flush yet
                await channel.aclose()
            raise
        return channel
