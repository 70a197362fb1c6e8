"""gzip and a message size limit for any grpclib server."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Literal

from grpclib.config import Configuration
from grpclib.encoding.base import CodecBase, StatusDetailsCodecBase
from grpclib.protocol import H2Protocol
from grpclib.server import Server

from ziggurat.services.channel.engine import h2_configuration
from ziggurat.services.channel.old_protocol import ServerProtocol
from ziggurat.services.channel.options import ConnectionOptions

if TYPE_CHECKING:
    from grpclib._typing import IServable

__all__ = ["CompressionMixin"]

DEFAULT = ConnectionOptions()


class CompressionMixin(Server):
    """A mixin for grpclib servers: ``class GzipServer(CompressionMixin, Server): ...``.

    Compressed requests are always received, up to ``max_message_size``. Replies are compressed if ``compression`` is
    set and the client accepts gzip.

    Args:
        handlers: services, as in grpclib.
        codec: message codec, as in grpclib.
        status_details_codec: codec of the status details, as in grpclib.
        config: server settings, as in grpclib, windows and keepalive included.
        compression: compression of replies; ``None`` for none.
        initial_message_size: maximum size of a received message until `ServerStream.lift_limits` is called;
            ``None`` for ``max_message_size`` from the start.
        max_message_size: maximum size of a received message, compressed and inflated, in bytes; 32 MiB by default,
            ``None`` for no limit. For a larger one the handler and the client get ``RESOURCE_EXHAUSTED``.
    """

    def __init__(
        self,
        handlers: Collection[IServable],
        *,
        codec: CodecBase | None = None,
        status_details_codec: StatusDetailsCodecBase | None = None,
        config: Configuration | None = None,
        compression: Literal["gzip"] | None = None,
        max_message_size: int | None = DEFAULT.max_message_size,
        initial_message_size: int | None = None,
    ) -> None:
        if compression not in (None, "gzip"):
            raise ValueError(f"compression must be 'gzip' or None, not {compression!r}")
        if max_message_size is not None and max_message_size < 0:
            raise ValueError(f"max_message_size must not be negative: {max_message_size!r}")
        super().__init__(handlers, codec=codec, status_details_codec=status_details_codec, config=config)
        self._h2_config = h2_configuration(client_side=False)
        self._options = ConnectionOptions(
            stream_window=self._config.http2_stream_window_size,
            connection_window=self._config.http2_connection_window_size,
            max_message_size=max_message_size,
            initial_message_size=initial_message_size,
            compression=compression,
        )

    protocol_class: type[ServerProtocol] = ServerProtocol
    """The protocol of each connection. A subclass may set its own, e.g. to count or refuse connections."""

    def _protocol_factory(self) -> H2Protocol:
        stock = super()._protocol_factory()
        return self.protocol_class(stock.handler, stock.config, stock.h2_config, self._options)
