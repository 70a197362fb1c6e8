"""A server with our mixin and the arguments of grpclib's, for grpclib's own tests."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from grpclib.const import Handler
from grpclib.server import Server

from tests.interop.grpclib_suite.channel import Uses
from ziggurat.services.channel.server import CompressionMixin
from ziggurat.services.channel.server_protocol import ServerProtocol

__all__ = ["MixinServer"]


class LooseProtocol(ServerProtocol):
    """One connection of ours that ``ChannelFor`` puts on a transport of its own."""

    @property
    def connection(self) -> LooseProtocol:
        """Itself, for ``ChannelFor``, which looks for grpclib's ``protocol.connection``."""
        return self

    def is_closing(self) -> bool:
        return self.closing

    def on_request(self, section: Any) -> Any:
        Uses.requests += 1
        return super().on_request(section)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._transport = None  # asyncio's transports let go of their protocols, but not those of ChannelFor


class OnlyHandlers:
    """A service without the entries that are no ``Handler``: grpclib's tests have some, and never call them."""

    def __init__(self, service: Any) -> None:
        self._service = service

    def __mapping__(self) -> dict[str, Handler]:
        return {name: entry for name, entry in self._service.__mapping__().items() if isinstance(entry, Handler)}


class MixinServer(CompressionMixin, Server):
    """A server whose connections are ours."""

    protocol_class = LooseProtocol

    def __init__(self, handlers: Collection[Any], **arguments: Any) -> None:
        super().__init__([OnlyHandlers(service) for service in handlers], **arguments)
