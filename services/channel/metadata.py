"""gRPC's metadata and timeouts as header fields, and back (gRPC's "PROTOCOL-HTTP2" document)."""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, cast

from grpclib.metadata import encode_metadata

from ziggurat.services.channel.compression import ACCEPT_ENCODING
from ziggurat.services.http2 import HeaderTemplate

if TYPE_CHECKING:
    from grpclib.metadata import _MetadataLike  # pyright: ignore[reportPrivateUsage]

__all__ = [
    "Pairs",
    "decode_binary",
    "decode_pairs",
    "encode_binary",
    "encode_pairs",
    "encode_timeout",
    "request_template",
]

Pairs = list[tuple[str, str | bytes]]
"""Metadata in its order; values of keys that end in ``-bin`` are bytes."""

SMALL = 256
"""Bytes of values whose fields are remembered."""

SECRETS = ("authorization", "proxy-authorization", "cookie")
"""Keys whose values are not remembered, so that they do not outlive their call."""

MOST_DIGITS = 99_999_999
"""A timeout has at most eight digits."""

UNITS = (("n", 1e9), ("u", 1e6), ("m", 1e3), ("S", 1.0), ("M", 1 / 60), ("H", 1 / 3600))

RESERVED = frozenset((b"te", b"content-type", b"user-agent"))
"""Fields of the protocol that are no metadata, beside pseudo-headers and those that begin with ``grpc-``."""


def encode_timeout(seconds: float) -> bytes:
    """Return ``grpc-timeout`` in the finest unit that has room for it, rounded down, so that the server is not late."""
    for unit, factor in UNITS:
        count = int(seconds * factor)
        if count <= MOST_DIGITS:
            return b"%d%s" % (count, unit.encode())
    return b"%dH" % MOST_DIGITS


def encode_pairs(metadata: _MetadataLike) -> list[tuple[bytes, bytes]]:
    """Return the fields of a caller's metadata.

    Raises:
        ValueError, TypeError: grpclib's, for a key or a value that cannot be sent.
    """
    given = cast("Mapping[str, str | bytes]", metadata).items() if isinstance(metadata, Mapping) else metadata
    return [(_encode_once if _is_remembered(name, value) else _encode)(name, value) for name, value in given]


def _is_remembered(name: object, value: object) -> bool:
    return isinstance(value, (str, bytes)) and len(value) <= SMALL and name not in SECRETS


def _encode(name: str, value: str | bytes) -> tuple[bytes, bytes]:
    ((key, text),) = encode_metadata([(name, value)])
    return key.encode("ascii"), text.encode("ascii")


_encode_once = lru_cache(maxsize=512, typed=True)(_encode)
"""Most calls of a program have the same metadata, and grpclib looks at each letter of it."""


def decode_pairs(fields: Iterable[tuple[bytes, bytes]]) -> tuple[Pairs, str | None]:
    """Return the metadata in fields, and what is wrong with it, if anything is: a bad field is left out."""
    pairs: Pairs = []
    fault: str | None = None
    for name, value in fields:
        if name in RESERVED or name.startswith((b":", b"grpc-")):
            continue
        key = name.decode("ascii")
        if not key.endswith("-bin"):
            pairs.append((key, value.decode("latin-1")))
            continue
        for part in value.split(b","):  # two values may be put into one field
            try:
                pairs.append((key, decode_binary(part)))
            except ValueError:
                fault = f"the metadata {key!r} is not base64"
    return pairs, fault


def encode_binary(value: bytes) -> bytes:
    """Return the base64 of bytes, without padding."""
    return b64encode(value).rstrip(b"=")


def decode_binary(value: bytes) -> bytes:
    """Return the bytes in a base64 value, with padding or without.

    Raises:
        ValueError: it is not base64.
    """
    value = value.strip()
    try:
        return b64decode(value + b"=" * (-len(value) % 4), validate=True)
    except Base64Error as error:
        raise ValueError(str(error)) from error


def request_template(
    scheme: str, path: str, authority: str, content_type: str, user_agent: str, *, gzip: bool
) -> HeaderTemplate:
    """Return the fields of all requests for one method, in the order of gRPC's "PROTOCOL-HTTP2" document."""
    fields = [
        (":method", "POST"),
        (":scheme", scheme),
        (":path", path),
        (":authority", authority),
        ("te", "trailers"),
        ("content-type", content_type),
        ("user-agent", user_agent),
        ACCEPT_ENCODING,
    ]
    if gzip:
        fields.append(("grpc-encoding", "gzip"))
    return HeaderTemplate(_encoded(*field) for field in fields)


@lru_cache(maxsize=1024)
def _encoded(name: str, value: str) -> tuple[bytes, bytes]:
    """The same object for the same field: a program with a thousand channels has most of them a thousand times."""
    return name.encode(), value.encode()
