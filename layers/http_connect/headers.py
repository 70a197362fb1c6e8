"""Header fields that a user adds to a CONNECT request: what is refused, so that none can forge another."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TypeAlias, cast

from ziggurat.layers.redaction import hide_arguments

__all__ = ["Fields", "Headers", "check_headers", "is_field_value"]

Headers: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]]
Fields: TypeAlias = tuple[tuple[str, str], ...]

OWN = {"content-length", "expect", "host", "te", "trailer", "transfer-encoding", "upgrade"}
"""Fields that the layer writes itself, or that mean nothing in a CONNECT request."""

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)  # RFC 9110 5.6.2
_VALUE = re.compile(r"(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?")  # RFC 9110 5.5


@hide_arguments
def check_headers(headers: Headers) -> Fields:
    """Return the fields as pairs.

    Raises:
        TypeError: not a mapping or pairs of str.
        ValueError: a name or a value has characters that no field may have, or the field is not the user's to set. The
            message says which one by its position: it may be a secret.
    """
    if isinstance(headers, (str, bytes)):
        raise TypeError("headers must be a mapping or pairs of names and values, not text")
    if isinstance(headers, Mapping):
        headers = cast("Mapping[str, str]", headers).items()
    pairs: Fields = tuple(headers)
    for index, pair in enumerate(cast("tuple[object, ...]", pairs)):
        if not isinstance(pair, tuple) or len(cast("tuple[object, ...]", pair)) != 2:
            raise TypeError(f"headers[{index}] must be a pair of a name and a value")
        name, value = cast("tuple[object, object]", pair)
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"headers[{index}] must have a name and a value that are str")
        if not _NAME.fullmatch(name):
            raise ValueError(f"headers[{index}]: the name must be a token of RFC 9110 5.6.2, e.g. X-Department")
        if name.lower() in OWN:
            raise ValueError(f"headers[{index}]: {name} is not to be set in a CONNECT request")
        if not is_field_value(value):
            raise ValueError(
                f"headers[{index}]: the value of {name} has a control character, a character beyond latin-1, or "
                "white space around it (RFC 9110 5.5)"
            )
    return pairs


def is_field_value(text: str) -> bool:
    """Whether ``text`` can be the value of a header field."""
    return _VALUE.fullmatch(text) is not None
