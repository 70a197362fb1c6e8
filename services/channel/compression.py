"""gzip for single messages (gRPC's "Length-Prefixed-Message" with a compressed flag of 1).

A message is one complete gzip member (RFC 1952). Inflating stops one byte beyond the size limit, so a decompression
bomb costs no more memory than the largest message allowed.
"""

from __future__ import annotations

import zlib
from typing import Literal

from grpclib.const import Status
from grpclib.exceptions import GRPCError

__all__ = [
    "ACCEPT_ENCODING",
    "ENCODINGS",
    "MessageSizeError",
    "compress",
    "inflate",
    "judge_encoding",
    "too_large",
]

Compression = Literal["gzip"]

ACCEPT_ENCODING = ("grpc-accept-encoding", "identity,gzip")
"""The header that we send. Without it a server must guess: tonic then does not compress, grpcio does."""

ENCODINGS = ("identity", "gzip")
"""What we read."""

GZIP_WINDOW = 31  # zlib's code for the largest window in a gzip wrapper


class MessageSizeError(GRPCError):
    """A received message is larger than ``max_message_size``; the status is ``RESOURCE_EXHAUSTED``."""


def too_large(size: int, limit: int) -> MessageSizeError:
    """Return the error for a message of ``size`` bytes, as it came over the wire."""
    return MessageSizeError(
        Status.RESOURCE_EXHAUSTED, f"a message of {size} bytes is larger than max_message_size ({limit} bytes)"
    )


def compress(message: bytes) -> bytes:
    """Return ``message`` as one gzip member."""
    return zlib.compress(message, wbits=GZIP_WINDOW)


def inflate(data: bytes, limit: int | None) -> bytes:
    """Return the message in ``data``.

    Args:
        data: exactly one gzip member.
        limit: maximum size of the message in bytes; ``None`` for no limit.

    Raises:
        MessageSizeError: the message is larger.
        GRPCError: ``INTERNAL`` if ``data`` is not gzip, is cut off, or has trailing bytes.
    """
    decoder = zlib.decompressobj(GZIP_WINDOW)
    try:
        message = decoder.decompress(data, 0 if limit is None else limit + 1)
    except zlib.error as error:
        raise GRPCError(Status.INTERNAL, f"a compressed message is not gzip: {error}") from None
    if limit is not None and len(message) > limit:
        raise MessageSizeError(
            Status.RESOURCE_EXHAUSTED,
            f"a message of {len(data)} bytes inflates to more than max_message_size ({limit} bytes)",
        )
    if not decoder.eof:
        raise GRPCError(Status.INTERNAL, "a compressed message is cut off")
    if decoder.unused_data:
        raise GRPCError(
            Status.INTERNAL, f"a compressed message has {len(decoder.unused_data)} bytes after its gzip member"
        )
    return message


def judge_encoding(flag: int, encoding: str | None) -> GRPCError | None:
    """Return the error in a message's compressed flag, given the peer's ``grpc-encoding``; ``None`` if it is valid."""
    if flag == 0:
        return None
    if flag != 1:
        return GRPCError(Status.INTERNAL, f"a message has the compressed flag {flag}, which is neither 0 nor 1")
    if encoding is None or encoding == "identity":
        return GRPCError(Status.INTERNAL, "a message is compressed, but the peer announced no grpc-encoding")
    if encoding != "gzip":
        return GRPCError(
            Status.UNIMPLEMENTED, f"grpc-encoding {encoding[:64]!r} is not supported; identity and gzip are"
        )
    return None
