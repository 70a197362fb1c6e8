"""Is the other end HTTP/2 at all? Judged on its first nine bytes, before the engine sees one.

A server's connection preface is a SETTINGS frame (RFC 9113 3.4). Whatever else comes first would end as a "protocol
error" in the engine, when the reader of the message wants to know who it was that answered: an HTTP/1 server or a
proxy's error page, a TLS server that was spoken to in the clear, an SSH banner.
"""

from __future__ import annotations

from ziggurat.services.errors import one_line

__all__ = ["Preface"]

HEADER = 9
SETTINGS = 4
MAX_STATUS_LINE = 512


class Preface:
    """Collects the first bytes of a peer until they can be judged.

    Attributes:
        verdict: what the peer is instead of HTTP/2; ``None`` while nothing speaks against it.
        done: whether the first frame's header is that of a SETTINGS frame.
    """

    def __init__(self) -> None:
        self._head = b""
        self.verdict: str | None = None
        self.done = False

    def feed(self, data: bytes) -> bytes:
        """Add what arrived. Return what the engine is to get: nothing, until `done`, then everything so far."""
        head = self._head = self._head + data
        if self._is_settings(head):
            if len(head) >= HEADER:
                self.done = True
                self._head = b""
                return head
        elif not self._may_be_http1(head):
            self.verdict = self._name(head)
        elif b"\n" in head or len(head) > MAX_STATUS_LINE:
            self.verdict = self._http1(head)
        return b""

    def close(self) -> None:
        """The peer has gone. What it left unfinished is judged as it is."""
        if self.verdict is None and self._head.startswith(b"HTTP/1"):
            self.verdict = self._http1(self._head)

    @staticmethod
    def _is_settings(head: bytes) -> bool:
        """Whether ``head``, as far as it goes, begins a SETTINGS frame that is not an acknowledgement."""
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

    @staticmethod
    def _http1(head: bytes) -> str:
        line = one_line(head.split(b"\n", 1)[0][:MAX_STATUS_LINE].decode("latin-1"))
        return f"the peer speaks {line.split(' ', 1)[0][:8]} (it answered {line[:80]!r})"

    @staticmethod
    def _name(head: bytes) -> str:
        shown = ascii(head[:24])[1:]
        if head[:1] in (b"\x15", b"\x16") and head[1:2] in (b"", b"\x03"):
            return f"not HTTP/2: the peer speaks TLS (first bytes {shown})"
        if head.startswith(b"SSH-"):
            return f"not HTTP/2: the peer speaks SSH (first bytes {shown})"
        return f"not HTTP/2 (first bytes {shown})"
