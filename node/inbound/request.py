"""The requests of one inbound connection: the network's only method is served, all else is answered or refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from grpclib.const import Cardinality, Handler

from ziggurat.node.wire import MESSAGE_STREAM, KaspadMessage, MessageCodec
from ziggurat.services.channel.call_handler import CallHandler
from ziggurat.services.channel.method import Method
from ziggurat.services.channel.request_head import NO_SUCH_METHOD, Refusal
from ziggurat.services.channel.server_call import ServerCall
from ziggurat.services.errors import one_line

__all__ = ["Call", "RequestHandler"]

Call: TypeAlias = ServerCall[KaspadMessage, KaspadMessage]


class RequestHandler(CallHandler):
    """Answers the requests of one connection, each in a task of its own.

    A ``grpc-timeout`` and metadata are not read: the stream has no deadline here, whatever its client intends, and
    nothing in the protocol depends on metadata.

    Args:
        serve: serves the message stream. It may raise `GRPCError`, which becomes the status.
        codec: the connection's codec.
        refuse: called with the reason for a request that is not served.
        gzip: whether to compress messages to peers that accept it.
    """

    def __init__(
        self,
        serve: Callable[[Call], Awaitable[None]],
        codec: MessageCodec,
        refuse: Callable[[str], None],
        *,
        gzip: bool = False,
    ) -> None:
        entry = Handler(serve, Cardinality.STREAM_STREAM, KaspadMessage, KaspadMessage)
        methods = {MESSAGE_STREAM: Method(MESSAGE_STREAM, entry, codec=codec)}
        super().__init__(methods, codec.__content_subtype__, gzip=gzip)
        self._refuse = refuse

    def judge(self, call: ServerCall[Any, Any]) -> Refusal | None:
        """Return the answer to a request for anything but the message stream."""
        head = call.head
        refusal = head.refusal or (NO_SUCH_METHOD if call.unknown else head.encoding_fault)
        if refusal is not None:
            self._refuse(f"a request for {one_line(head.path[:80])} instead of {MESSAGE_STREAM}")
        return refusal

    def time_limit(self, call: ServerCall[Any, Any]) -> float | None:
        """No limit."""
        return None

    def leave(self, call: ServerCall[Any, Any]) -> None:
        """The handler has ended. After a reset, the router still reads what came before it."""
        if call.ended_by is None:
            super().leave(call)

    def detach(self) -> None:
        """The connection is lost."""
        super().detach()
        self._refuse = _nobody


def _nobody(reason: str) -> None:
    """Takes the place of a callback that would keep the connection alive."""
