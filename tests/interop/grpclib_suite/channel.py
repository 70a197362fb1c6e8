"""Our channel with the arguments of grpclib's, for grpclib's own tests."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

from grpclib.config import Configuration
from grpclib.encoding.base import CodecBase, StatusDetailsCodecBase

from ziggurat.layers import ServiceBuilder
from ziggurat.services import Channel, Connector, Endpoint, TcpConnector, UnixConnector
from ziggurat.services.channel.client_protocol import ClientProtocol
from ziggurat.services.channel.options import ConnectionOptions

__all__ = ["GrpclibChannel", "LooseProtocol", "Uses"]


class Uses:
    """Counts the calls that were started on our channel, and the requests to our server."""

    calls = requests = 0


class LooseProtocol(ClientProtocol):
    """One connection of ours that a test puts on a transport of its own."""

    def __init__(self) -> None:
        self.settled = asyncio.Event()
        super().__init__(
            ConnectionOptions(), on_settings=self.settled.set, on_draining=lambda: None, on_lost=lambda reason: None
        )

    @property
    def connection(self) -> LooseProtocol:
        """Itself, for tests that look for grpclib's ``protocol.connection``."""
        return self

    @property
    def write_ready(self) -> LooseProtocol:
        """Itself, too. Tests call its ``clear()``, which is what a full transport says."""
        return self

    def is_closing(self) -> bool:
        return self.closing

    def clear(self) -> None:
        self.pause_writing()

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._transport = None  # asyncio's transports let go of their protocols, but not those of ChannelFor


class GrpclibChannel(Channel):
    """Takes ``grpclib.client.Channel``'s arguments and makes its own connections, unless a test has given it one."""

    def __init__(
        self,
        host: str | None = None,
        port: int | None = None,
        *,
        path: str | None = None,
        codec: CodecBase | None = None,
        status_details_codec: StatusDetailsCodecBase | None = None,
        ssl: bool | ssl.SSLContext | None = None,
        config: Configuration | None = None,
    ) -> None:
        scheme = "https" if ssl else "http"
        host = host or "127.0.0.1"
        authority = f"[{host}]" if ":" in host else host
        context = self._get_default_ssl_context() if ssl is True else ssl or None
        connector: Connector = UnixConnector() if path is not None else TcpConnector()
        if context is not None:
            connector = ServiceBuilder().tls(context=context).service(connector)
        endpoint = Endpoint(
            f"unix:{path}" if path is not None else f"{scheme}://{authority}:{port or 50051}",
            codec=codec,
            status_details_codec=status_details_codec,
            http2_keepalive_interval=(config or Configuration()).__for_client__()._keepalive_time,
        )
        super().__init__(endpoint, connector)
        self._protocol: Any = None  # where ChannelFor puts its connection

    def _protocol_factory(self) -> Any:
        return LooseProtocol()

    @property
    def protocol(self) -> ClientProtocol | None:
        return super().protocol if self._protocol is None else self._protocol

    async def ready(self, expired: Any = None) -> ClientProtocol:
        if self._protocol is None:
            return await super().ready(expired)
        await self._protocol.settled.wait()
        return self._protocol

    def request(self, *args: Any, **kwargs: Any) -> Any:
        Uses.calls += 1
        return super().request(*args, **kwargs)
