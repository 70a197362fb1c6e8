"""What gRPC makes of a request's header section: its method, its deadline, or why it is none.

The rules are those of gRPC's "PROTOCOL-HTTP2" document. A section is read once: clients send the same bytes call after
call, and the core then hands out the same section.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from grpclib.const import Status

from ziggurat.services.channel.compression import ACCEPT_ENCODING, ENCODINGS
from ziggurat.services.channel.metadata import Pairs, decode_pairs
from ziggurat.services.http2 import HeaderFields, HeaderSection, HeaderTemplate

__all__ = ["NO_SUCH_METHOD", "Refusal", "RequestHead", "read_request"]

_TIMEOUT = re.compile(rb"(\d{1,8})([HMSmun])")

UNITS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}


class Refusal(NamedTuple):
    """The answer to a request that is not served.

    Attributes:
        http: the HTTP status.
        status: the status of gRPC; ``None`` where the client cannot be gRPC's.
        message: the text that goes with it.
    """

    http: int
    status: Status | None
    message: str

    @property
    def fields(self) -> tuple[HeaderTemplate, HeaderFields]:
        """The header section, which ends the stream: what all have, and the rest."""
        if self.status is None:
            return HeaderTemplate([(b":status", b"%d" % self.http)]), ()
        status, message = b"%d" % self.status.value, self.message.encode("ascii", "replace")
        head = _HEAD if self.http == 200 else HeaderTemplate([(b":status", b"%d" % self.http)])
        return head, ((b"grpc-status", status), (b"grpc-message", message))


_HEAD = HeaderTemplate(
    (name.encode(), value.encode())
    for name, value in [(":status", "200"), ("content-type", "application/grpc"), ACCEPT_ENCODING]
)

NO_SUCH_METHOD = Refusal(200, Status.UNIMPLEMENTED, "Method not found")


class RequestHead:
    """A request's header section, as gRPC reads it.

    Attributes:
        fields: all of it, as it came.
        path: the method's name.
        content_type: as it came.
        refusal: why this is no request of gRPC; ``None`` if it is.
        encoding_fault: the answer to a ``grpc-encoding`` that we cannot read, whether it is used or only announced.
        fault: the answer to a timeout or to metadata that cannot be read; ``None`` if there is nothing wrong.
        timeout: seconds that the client gives the call; ``None`` for no limit.
        encoding: the messages' ``grpc-encoding``; ``None`` without one.
        accepts_gzip: whether answers may be compressed.
        user_agent: the client's.
        pairs: the metadata.
    """

    __slots__ = (
        "accepts_gzip",
        "content_type",
        "encoding",
        "encoding_fault",
        "fault",
        "fields",
        "pairs",
        "path",
        "refusal",
        "timeout",
        "user_agent",
    )

    def __init__(self, section: HeaderSection, subtype: str) -> None:
        fields = dict(section.fields)
        self.fields = section.fields  # not the section, which remembers this object
        self.path = fields.get(b":path", b"").decode("latin-1")
        self.content_type = _text(fields.get(b"content-type"))
        self.refusal = _judge(fields, self.content_type, subtype)
        self.encoding = _text(fields.get(b"grpc-encoding"))
        self.encoding_fault = _judge_encoding(self.encoding)
        accepted = fields.get(b"grpc-accept-encoding", b"")
        self.accepts_gzip = b"gzip" in accepted and b"gzip" in [part.strip() for part in accepted.split(b",")]
        self.user_agent = _text(fields.get(b"user-agent"))
        self.fault: Refusal | None = None
        self.timeout = self._take_timeout(fields.get(b"grpc-timeout"))
        self.pairs: Pairs
        self.pairs, fault = decode_pairs(section.fields)
        if fault is not None:
            self.fault = Refusal(200, Status.INTERNAL, fault)

    def _take_timeout(self, value: bytes | None) -> float | None:
        if value is None:
            return None
        if (match := _TIMEOUT.fullmatch(value)) is None:
            self.fault = Refusal(200, Status.INTERNAL, "Invalid grpc-timeout header")
            return None
        return int(match[1]) * UNITS[match[2]]


def read_request(section: HeaderSection, subtype: str) -> RequestHead:
    """Return what a section says, for a codec with that content subtype."""
    if not isinstance(section.memo, RequestHead):
        section.memo = RequestHead(section, subtype)
    return section.memo


def _judge(fields: dict[bytes, bytes], content_type: str | None, subtype: str) -> Refusal | None:
    if fields.get(b":method") != b"POST":
        return Refusal(405, None, "")
    if content_type is None:
        return Refusal(415, Status.UNKNOWN, "Missing content-type header")
    kind = content_type.partition(";")[0].strip().lower()
    base, _, given = kind.partition("+")
    if base != "application/grpc" or (given or "proto") != subtype:
        return Refusal(415, Status.UNKNOWN, "Unacceptable content-type header")
    if fields.get(b"te") != b"trailers":
        return Refusal(400, Status.UNKNOWN, 'Required "te: trailers" header is missing')
    return None


def _judge_encoding(encoding: str | None) -> Refusal | None:
    if encoding is None or encoding in ENCODINGS:
        return None
    text = f"grpc-encoding {encoding[:64]!a} is not supported; identity and gzip are"
    return Refusal(200, Status.UNIMPLEMENTED, text)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")
