"""Values in the lines of Tor's control protocol: quoted strings and ``NAME=VALUE`` pairs (control-spec 2.1.1).

Tor writes paths in quotes with the escapes of C, and each byte that is not ASCII in octal.
"""

from __future__ import annotations

import os
import re

__all__ = ["parse_fields", "quoted_strings", "unescape"]

_QUOTED = r'"((?:[^"\\]|\\.)*)"'
_FIELD = re.compile(rf"([A-Za-z_]+)=(?:{_QUOTED}|(\S*))")
_STRINGS = re.compile(_QUOTED)
_ESCAPE = re.compile(rb"\\([0-3][0-7]{0,2}|[4-7][0-7]?|.)", re.DOTALL)

_LETTERS = {b"n": b"\n", b"r": b"\r", b"t": b"\t"}


def unescape(text: str) -> str:
    """Replace the escapes in what stands between quotes. Bytes become text as those of a file's name do."""
    return os.fsdecode(_ESCAPE.sub(_byte, text.encode("utf-8", "surrogateescape")))


def quoted_strings(text: str) -> list[str]:
    """Return the quoted strings in a text, unescaped."""
    return [unescape(each) for each in _STRINGS.findall(text)]


def parse_fields(text: str) -> dict[str, str]:
    """Return the ``NAME=VALUE`` pairs in a text, values unquoted. Of two with the same name the later one holds."""
    return {name: plain or unescape(quoted) for name, quoted, plain in _FIELD.findall(text)}


def _byte(escape: re.Match[bytes]) -> bytes:
    what = escape[1]
    return bytes([int(what, 8)]) if what.isdigit() and what not in (b"8", b"9") else _LETTERS.get(what, what)
