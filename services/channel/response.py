"""What gRPC makes of the header sections of a response: its status, or what came in place of one.

The rules are those of gRPC's "PROTOCOL-HTTP2" and "http-grpc-status-mapping" documents. A section is read once: servers
answer most calls with the same bytes, and the core then hands out the same section.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

from grpclib.const import Status
from grpclib.encoding.base import StatusDetailsCodecBase
from grpclib.exceptions import GRPCError
from grpclib.metadata import decode_grpc_message

from ziggurat.services.channel.compression import ENCODINGS
from ziggurat.services.channel.metadata import Pairs, decode_binary, decode_pairs
from ziggurat.services.errors import one_line
from ziggurat.services.http2 import HeaderSection

__all__ = ["Response", "page_words", "read_response"]

HTTP_TO_GRPC = {
    400: Status.INTERNAL,
    401: Status.UNAUTHENTICATED,
    403: Status.PERMISSION_DENIED,
    404: Status.UNIMPLEMENTED,
    **dict.fromkeys((429, 502, 503, 504), Status.UNAVAILABLE),
}
"""Statuses of proxies and load balancers (doc/http-grpc-status-mapping.md); all others are UNKNOWN."""

WORDS = 120
"""Characters of a page that go into an error."""


class Response:
    """A header section, as gRPC reads it.

    Attributes:
        fault: why this does not begin a response of gRPC; ``None`` if it does.
        encoding: the messages' ``grpc-encoding``.
        encoding_fault: why we cannot read it, whether it is used or only announced; ``None`` if we can.
        status: of a section with ``grpc-status``; ``None`` without one.
        message: the text that came with it.
        pairs: the metadata.
        pairs_fault: what is wrong with that.
        flawless: whether nothing in it is a reason to end the call with an error.
    """

    __slots__ = (
        "_details",
        "encoding",
        "encoding_fault",
        "fault",
        "flawless",
        "message",
        "pairs",
        "pairs_fault",
        "status",
    )

    def __init__(self, section: HeaderSection, subtype: str) -> None:
        fields = dict(section.fields)
        self.fault: GRPCError | None = None
        http = section.pseudo.get(b":status")
        if http is not None:
            self.fault = _judge(http.decode(), fields.get(b"content-type"), subtype)
        encoding = fields.get(b"grpc-encoding")
        self.encoding = None if encoding is None else encoding.decode("latin-1")
        self.encoding_fault: GRPCError | None = None
        if self.encoding is not None and self.encoding not in ENCODINGS:
            self.encoding_fault = GRPCError(
                Status.INTERNAL, f"grpc-encoding {self.encoding[:64]!r} is not supported; identity and gzip are"
            )
        self.status: Status | None = None
        self.message: str | None = None
        self._details = fields.get(b"grpc-status-details-bin")
        if (code := fields.get(b"grpc-status")) is not None:
            self._read_status(code, fields.get(b"grpc-message"))
        self.pairs: Pairs
        self.pairs, self.pairs_fault = decode_pairs(section.fields)
        faults = (self.fault, self.encoding_fault, self.pairs_fault)
        self.flawless = not any(faults) and self.status in (None, Status.OK)

    def _read_status(self, code: bytes, message: bytes | None) -> None:
        try:
            self.status = Status(int(code))
        except ValueError:
            self.status, self.message = Status.UNKNOWN, f"Invalid grpc-status: {code.decode('latin-1')!r}"
            return
        if self.status is not Status.OK and message is not None:
            self.message = decode_grpc_message(message.decode("utf-8", "replace"))

    def details(self, codec: StatusDetailsCodecBase | None) -> Any:
        """Return the status details; ``None`` if there are none, or none that can be read: the status counts more."""
        if codec is None or self._details is None or self.status in (None, Status.OK):
            return None
        try:
            return codec.decode(self.status, self.message, decode_binary(self._details))
        except Exception:
            return None

    def error(self, codec: StatusDetailsCodecBase | None) -> GRPCError:
        """Return the error that this section ends a call with, whose status is not OK."""
        if self.status is None:
            return GRPCError(Status.UNKNOWN, "Missing grpc-status header")
        return GRPCError(self.status, self.message, self.details(codec))


def read_response(section: HeaderSection, subtype: str) -> Response:
    """Return what a section says, for a codec with that content subtype."""
    if not isinstance(section.memo, Response):
        section.memo = Response(section, subtype)
    return section.memo


def _judge(http: str, content_type: bytes | None, subtype: str) -> GRPCError | None:
    if http != "200":
        code = int(http)
        try:
            phrase = f"{code} {HTTPStatus(code).phrase}"
        except ValueError:
            phrase = http
        return GRPCError(
            HTTP_TO_GRPC.get(code, Status.UNKNOWN), f"the server answered with HTTP {phrase}, not with gRPC"
        )
    if content_type is None:
        return GRPCError(Status.UNKNOWN, "Missing content-type header")
    text = content_type.decode("latin-1")
    kind = text.partition(";")[0].strip().lower()
    base, plus, given = kind.partition("+")
    if base != "application/grpc":
        return GRPCError(Status.UNKNOWN, f"Invalid content-type: {text[:80]!r}")
    if plus and given != subtype:
        return GRPCError(Status.INTERNAL, f"Invalid content-type: {text[:80]!r}, where {subtype!r} was asked for")
    return None


def page_words(body: bytes) -> str:
    """Return the first words of a page of HTML or text, in one line; none of what is no text."""
    if b"\0" in body:  # as in a message of gRPC, behind a content type with another codec
        return ""
    text = re.sub(r"(?is)<(script|style)\b.*?</\1\s*>|<[^>]*>?", " ", body.decode("utf-8", "replace"))
    return one_line(" ".join(text.split()))[:WORDS].strip()
