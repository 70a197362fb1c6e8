"""What both shims share: size-delimited messages on stdin and stdout, headers, status details."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from grpclib.const import Status
from grpclib.encoding.base import StatusDetailsCodecBase
from multidict import MultiDict

from tests.interop.go_messages import GoMessages

__all__ = ["SERVICE", "RawDetails", "load", "read_messages", "to_headers", "to_metadata", "write_message"]

SERVICE = "connectrpc.conformance.v1.ConformanceService"

FILES = ("client_compat.proto", "server_compat.proto", "service.proto")


def load(program: str) -> GoMessages:
    """Return the messages of the suite; ``program`` is the path of connectconformance."""
    return GoMessages(program, [*(f"connectrpc/conformance/v1/{name}" for name in FILES), "google/rpc/status.proto"])


def read_messages(kind: Any) -> Iterator[Any]:
    """Yield the messages on stdin until it ends; each one follows its length in 32 bits, big-endian."""
    stdin = sys.stdin.buffer
    while head := stdin.read(4):
        yield kind.FromString(stdin.read(int.from_bytes(head, "big")))


def write_message(message: Any) -> None:
    """Write a message to stdout."""
    data = message.SerializeToString()
    sys.stdout.buffer.write(len(data).to_bytes(4, "big") + data)
    sys.stdout.buffer.flush()


def to_metadata(headers: Iterable[Any]) -> MultiDict[str | bytes]:
    """Convert ``Header`` messages, where binary values are base64 without padding, to grpclib's metadata."""
    metadata: MultiDict[str | bytes] = MultiDict()
    for header in headers:
        name = header.name.lower()
        for value in header.value:
            binary = name.endswith("-bin")
            metadata.add(name, base64.b64decode(value + "=" * (-len(value) % 4)) if binary else value)
    return metadata


def to_headers(kind: Any, metadata: Any) -> list[Any]:
    """Convert grpclib's metadata to ``Header`` messages, of which ``kind`` is the class; ``None`` is empty."""
    return [
        kind(name=name, value=[_text(value) for value in metadata.getall(name)])
        for name in dict.fromkeys(metadata or ())
    ]


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else base64.b64encode(value).decode().rstrip("=")


class RawDetails(StatusDetailsCodecBase):
    """Details as a list of ``google.protobuf.Any``, unlike grpclib's codec, which has to know the messages in them."""

    def __init__(self, messages: GoMessages) -> None:
        self._kind = messages("google.rpc.Status")

    def encode(self, status: Status, message: str | None, details: Any) -> bytes:
        encoded: bytes = self._kind(code=status.value, message=message or "", details=details).SerializeToString()
        return encoded

    def decode(self, status: Status, message: str | None, data: bytes) -> Any:
        return list(self._kind.FromString(data).details)
