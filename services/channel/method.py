"""One method that a server offers, with all that its calls have in common."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from ziggurat.services.channel.compression import ACCEPT_ENCODING
from ziggurat.services.http2 import HeaderTemplate

if TYPE_CHECKING:
    from grpclib.const import Cardinality, Handler
    from grpclib.encoding.base import CodecBase, StatusDetailsCodecBase
    from grpclib.events import _DispatchServerEvents  # pyright: ignore[reportPrivateUsage]

__all__ = ["Method", "methods_of"]


class Method:
    """A method and how its messages are coded.

    Args:
        name: its path.
        entry: grpclib's record of it.
        codec: of its messages.
        details_codec: of its status details; ``None`` sends none.
        dispatch: tells listeners to grpclib's events; ``None`` where there can be none.

    Attributes:
        name: as above.
        func: what handles a call.
        cardinality: whether either side sends any number of messages; the next two say the same.
        streams_requests: whether the client sends any number of messages.
        streams_responses: whether the handler does.
        request_type: of messages to the handler.
        reply_type: of the handler's messages.
        codec, details_codec, dispatch: as above.
        head: the headers that an answer begins with.
        gzip_head: the same, for messages that are compressed.
    """

    __slots__ = (
        "cardinality",
        "codec",
        "details_codec",
        "dispatch",
        "func",
        "gzip_head",
        "head",
        "name",
        "reply_type",
        "request_type",
        "streams_requests",
        "streams_responses",
    )

    def __init__(
        self,
        name: str,
        entry: Handler,
        *,
        codec: CodecBase,
        details_codec: StatusDetailsCodecBase | None = None,
        dispatch: _DispatchServerEvents | None = None,
    ) -> None:
        self.name = name
        record = cast("Any", entry)  # a named tuple without types
        self.func: Callable[[Any], Awaitable[None]] = record.func
        self.cardinality: Cardinality = record.cardinality
        self.streams_requests: bool = record.cardinality.client_streaming
        self.streams_responses: bool = record.cardinality.server_streaming
        self.request_type: type = record.request_type
        self.reply_type: type = record.reply_type
        self.codec = codec
        self.details_codec = details_codec
        self.dispatch = dispatch
        self.head, self.gzip_head = _heads(codec.__content_subtype__)

    def listened(self, event: str) -> bool:
        """Return whether somebody listens to one of grpclib's events, by the name of its method in ``dispatch``."""
        # grpclib puts a function that does nothing over each method that has no listener.
        return self.dispatch is not None and event not in vars(self.dispatch)


def methods_of(
    mapping: Mapping[str, Handler],
    *,
    codec: CodecBase,
    details_codec: StatusDetailsCodecBase | None = None,
    dispatch: _DispatchServerEvents | None = None,
) -> dict[str, Method]:
    """Return the methods in grpclib's mapping by their paths."""
    return {
        name: Method(name, entry, codec=codec, details_codec=details_codec, dispatch=dispatch)
        for name, entry in mapping.items()
    }


@cache
def _heads(subtype: str) -> tuple[HeaderTemplate, HeaderTemplate]:
    fields = [(":status", "200"), ("content-type", f"application/grpc+{subtype}"), ACCEPT_ENCODING]
    plain = [(name.encode(), value.encode()) for name, value in fields]
    return HeaderTemplate(plain), HeaderTemplate([*plain, (b"grpc-encoding", b"gzip")])
