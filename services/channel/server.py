"""gzip and a message size limit for any grpclib server."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Literal, cast

from grpclib.config import Configuration
from grpclib.encoding.base import CodecBase, StatusDetailsCodecBase
from grpclib.server import Server

from ziggurat.services.channel.call_handler import CallHandler
from ziggurat.services.channel.method import methods_of
from ziggurat.services.channel.options import ConnectionOptions
from ziggurat.services.channel.server_pings import PingRules
from ziggurat.services.channel.server_protocol import ServerProtocol
from ziggurat.services.validation import check_count

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
        initial_message_size: maximum size of a received message until `ServerCall.lift_limits` is called;
            ``None`` for ``max_message_size`` from the start.
        max_message_size: maximum size of a received message, compressed and inflated, in bytes; 32 MiB by default,
            ``None`` for no limit. For a larger one the handler and the client get ``RESOURCE_EXHAUSTED``.
        max_unread: bytes of all calls on a connection that may lie unread before its client has to stop, 64 MiB by
            default. Below that, a handler that reads slowly holds up its own client's call alone.

    Raises:
        ValueError: ``compression`` is unknown, or a size is out of range.
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
        max_unread: int = DEFAULT.max_unread,
    ) -> None:
        if compression not in (None, "gzip"):
            raise ValueError(f"compression must be 'gzip' or None, not {compression!r}")
        if max_message_size is not None and max_message_size < 0:
            raise ValueError(f"max_message_size must not be negative: {max_message_size!r}")
        check_count("max_unread", max_unread, optional=False)
        super().__init__(handlers, codec=codec, status_details_codec=status_details_codec, config=config)
        self._methods = methods_of(
            self._mapping, codec=self._codec, details_codec=self._status_details_codec, dispatch=self.__dispatch__
        )
        self._pings = PingRules.of(self._config)
        self._options = ConnectionOptions(
            stream_window=self._config.http2_stream_window_size,
            connection_window=self._config.http2_connection_window_size,
            max_message_size=max_message_size,
            initial_message_size=initial_message_size,
            max_unread=max_unread,
            compression=compression,
        )

    protocol_class: type[ServerProtocol] = ServerProtocol
    """The protocol of each connection. A subclass may set its own, e.g. to count or refuse connections."""

    def _protocol_factory(self) -> ServerProtocol:  # type: ignore[override]
        self.__gc_step__()
        handler = CallHandler(self._methods, self._codec.__content_subtype__, gzip=self._options.compression == "gzip")
        self._handlers.add(cast("Any", handler))
        return self.protocol_class(handler, self._options, self._pings)
