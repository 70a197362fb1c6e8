"""gzip for single messages (the gRPC protocol's "Length-Prefixed-Message" with a compressed flag of 1).

A message is one complete gzip member (RFC 1952). Inflating is bounded: it stops one byte beyond the limit, so a bomb
costs no more than a message that was allowed.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Literal

from grpclib.const import Status
from grpclib.exceptions import GRPCError

__all__ = [
    "ACCEPT_ENCODING",
    "MessageSizeError",
    "accepts_gzip",
    "compress",
    "encoding_of",
    "inflate",
    "judge_encoding",
]

Compression = Literal["gzip"]

ACCEPT_ENCODING = ("grpc-accept-encoding", "identity,gzip")
"""What is told to the peer. Without it a server must guess; tonic's does not compress then, grpcio's does."""

GZIP_WINDOW = 31  # zlib's way to say: the largest window, in a gzip wrapper


class MessageSizeError(GRPCError):
    """A received message is larger than ``max_message_size``; the status is ``RESOURCE_EXHAUSTED``."""


def compress(message: bytes) -> bytes:
    """Return ``message`` as one gzip member."""
    return zlib.compress(message, wbits=GZIP_WINDOW)


def inflate(data: bytes, limit: int | None) -> bytes:
    """Return the message in ``data``.

    Args:
        data: exactly one gzip member.
        limit: the largest message in bytes; ``None`` means any.

    Raises:
        MessageSizeError: beyond the limit.
        GRPCError: ``INTERNAL`` if it is not gzip, is cut off, or if anything follows the member.
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
            Status.INTERNAL, f"a compressed message has {len(decoder.unused_data)} bytes behind its gzip member"
        )
    return message


def encoding_of(headers: Sequence[tuple[str, str]] | None) -> str | None:
    """Return the ``grpc-encoding`` that the peer announced, if it did."""
    for name, value in headers or ():
        if name == "grpc-encoding":
            return value
    return None


def accepts_gzip(headers: Sequence[tuple[str, str]] | None) -> bool:
    """Tell whether the peer said that it takes gzip."""
    return any(
        name == "grpc-accept-encoding" and "gzip" in (item.strip() for item in value.split(","))
        for name, value in headers or ()
    )


def judge_encoding(flag: int, encoding: str | None) -> GRPCError | None:
    """Say what is wrong with a message's compressed flag, given the announced encoding (``None``: nothing)."""
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
