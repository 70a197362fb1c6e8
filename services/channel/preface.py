"""Check the first nine bytes of a connection for HTTP/2, before the core sees them.

A server's connection preface is a SETTINGS frame (RFC 9113 3.4). The core would report anything else as an error;
the user needs to know what answered: an HTTP/1 server, a proxy's error page, a TLS server on a clear-text connection,
an SSH banner. Some servers that have had enough say so in a GOAWAY before anything else.
"""

from __future__ import annotations

from ziggurat.services.errors import one_line
from ziggurat.services.http2 import error_name

__all__ = ["Preface"]

HEADER = 9
SETTINGS = 4
GOAWAY = 7
MAX_STATUS_LINE = 512
MAX_GOAWAY = 1024

BUSY = ("429", "502", "503", "504")
"""Statuses of HTTP/1 that mean that the server, or one behind it, is away for now."""


class Preface:
    """Buffers the first bytes from the peer until its protocol is known.

    Attributes:
        verdict: what the peer speaks instead of HTTP/2, or says before it; ``None`` as long as it may be HTTP/2.
        transient: whether the peer may speak HTTP/2 another time.
        done: whether the header of a SETTINGS frame has arrived.
    """

    def __init__(self) -> None:
        self._head = b""
        self.verdict: str | None = None
        self.transient = False
        self.done = False

    def feed(self, data: bytes) -> bytes:
        """Add received bytes. Return the bytes for h2: none until `done`, then all so far."""
        head = self._head = self._head + data
        if self._is_settings(head):
            if len(head) >= HEADER:
                self.done = True
                self._head = b""
                return head
        elif head[3:4] == bytes([GOAWAY]) and 8 <= int.from_bytes(head[:3], "big") <= MAX_GOAWAY:
            self._goaway(head)
        elif not self._may_be_http1(head):
            self.verdict = self._name(head)
        elif b"\n" in head or len(head) > MAX_STATUS_LINE:
            self.verdict = self._http1(head)
        return b""

    def close(self) -> None:
        """Set the verdict from an incomplete HTTP/1 status line; the peer has closed the connection."""
        if self.verdict is None and self._head.startswith(b"HTTP/1"):
            self.verdict = self._http1(self._head)

    @staticmethod
    def _is_settings(head: bytes) -> bool:
        """Return whether ``head`` may be the start of a SETTINGS frame that is not an acknowledgement."""
        if len(head) >= 3 and int.from_bytes(head[:3], "big") % 6:
            return False
        return (
            head[:1] in (b"", b"\0")
            and head[3:4] in (b"", bytes([SETTINGS]))
            and not (len(head) > 4 and head[4] & 1)
            and not (len(head) > 5 and head[5] & 0x7F)
            and not head[6:HEADER].strip(b"\0")
        )

    @staticmethod
    def _may_be_http1(head: bytes) -> bool:
        return head[:6] == b"HTTP/1"[: len(head)]

    def _goaway(self, head: bytes) -> None:
        if len(head) < HEADER + int.from_bytes(head[:3], "big"):
            return
        code = int.from_bytes(head[HEADER + 4 : HEADER + 8], "big")
        debug = head[HEADER + 8 : HEADER + int.from_bytes(head[:3], "big")]
        text = one_line(debug.decode("utf-8", "backslashreplace"))[:200]
        self.verdict = f"GOAWAY {error_name(code)}{f' ({text})' if text else ''} before its SETTINGS"
        self.transient = True

    def _http1(self, head: bytes) -> str:
        line = one_line(head.split(b"\n", 1)[0][:MAX_STATUS_LINE].decode("latin-1"))
        self.transient = line.split(" ", 2)[1:2] != [] and line.split(" ", 2)[1] in BUSY
        return f"the peer speaks {line.split(' ', 1)[0][:8]} (it answered {line[:80]!r})"

    @staticmethod
    def _name(head: bytes) -> str:
        shown = ascii(head[:24])[1:]
        if head[:1] in (b"\x15", b"\x16") and head[1:2] in (b"", b"\x03"):
            return f"not HTTP/2: the peer speaks TLS (first bytes {shown})"
        if head.startswith(b"SSH-"):
            return f"not HTTP/2: the peer speaks SSH (first bytes {shown})"
        return f"not HTTP/2 (first bytes {shown})"
