"""One CONNECT request and its response (RFC 9110 9.3.6), sans-I/O.

Rules of this file:

1. h11 writes the request and parses the response. It is given one whole head at a time, so that the bounds are exact
   and what follows a 2xx is known to the byte: it belongs to the tunnel.
2. A client must ignore Content-Length and Transfer-Encoding in a 2xx, and many proxies send them, even wrong ones. h11
   would check them, so they are removed first.
3. The first bytes are looked at as they arrive: a server of another protocol may never send a whole head.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import h11

from ziggurat.layers.http_connect.headers import Fields
from ziggurat.layers.other_protocols import other_protocol
from ziggurat.services.errors import ProxyProtocolError

__all__ = ["MAX_BODY", "MAX_HEAD", "Exchange", "Response"]

MAX_HEAD = 16 * 1024
"""Bytes of the response's head, 1xx responses included: h11's default, and more than any proxy needs."""

MAX_BODY = 8 * 1024
"""Bytes that are kept of a body: the reason stands at its beginning."""

START = b"HTTP/1."

_NO_BODY = h11.EndOfMessage()
_END = re.compile(rb"\n\r?\n")
_SUCCESS = re.compile(rb"HTTP/1\.[0-9] 2[0-9][0-9][ \r\n]")
_FRAMING = re.compile(rb"^(?:content-length|transfer-encoding)[ \t]*:.*\n(?:[ \t].*\n)*", re.IGNORECASE | re.MULTILINE)


class Response(NamedTuple):
    """The head of a response. Names of ``fields`` are in lower case; text is latin-1."""

    status: int
    phrase: str
    fields: Fields
    version: str

    def __repr__(self) -> str:
        return f"Response({self.status})"  # the rest may repeat what we sent

    def all(self, name: str) -> tuple[str, ...]:
        """Return the values of all fields of that name, in order."""
        return tuple(value for field, value in self.fields if field == name)

    def tokens(self, name: str) -> set[str]:
        """Return the items of a comma-separated field, in lower case."""
        return {item.strip().lower() for value in self.all(name) for item in value.split(",")}


class Exchange:
    """One request: send `outgoing`, pass what arrives to `receive`, and its end to `closed`, until `ended`.

    Args:
        target: ``host:port``, IPv6 in brackets.
        fields: further header fields.
        authorization: the value of ``Proxy-Authorization``; ``None`` to send none.

    Attributes:
        response: the final response's head; ``None`` until it is complete.
        body: the first `MAX_BODY` bytes of its body; always empty for a 2xx.
        body_size: how many bytes of the body were received.
        ended: the tunnel is open, or the body is complete, or cannot go on.
        rest: what followed the head of a 2xx: the tunnel's first bytes.
        informational: the status of each 1xx response.
        confidential: whether `outgoing` may contain a secret.
    """

    def __init__(self, target: str, fields: Sequence[tuple[str, str]] = (), authorization: str | None = None) -> None:
        self._connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        authority = target.encode("ascii")
        headers = [(b"Host", authority)]
        # In latin-1, as it is read: h11 itself takes ASCII only.
        headers += [(name.encode("ascii"), value.encode("latin-1")) for name, value in fields]
        if authorization is not None:
            headers.append((b"Proxy-Authorization", authorization.encode("latin-1")))
        request = h11.Request(method=b"CONNECT", target=authority, headers=headers)
        self._outgoing = self._connection.send(request) or b""
        self._connection.send(_NO_BODY)  # nothing: a CONNECT has none
        self._authorization = authorization
        self.confidential = authorization is not None or bool(fields)
        self._head = bytearray()
        self._searched = 0  # bytes of the head in which no end was found
        self._seen = 0  # bytes of complete heads
        self._cut = False
        self.response: Response | None = None
        self.body = b""
        self.body_size = 0
        self.ended = False
        self.rest = b""
        self.informational: list[int] = []

    @property
    def open(self) -> bool:
        """Whether the proxy has opened the tunnel."""
        return self.response is not None and 200 <= self.response.status < 300

    @property
    def reusable(self) -> bool:
        """Whether the connection takes another request: the response has a known end, and the proxy does not close."""
        response = self.response
        if response is None or not self.ended or self.open or self._cut or self._connection.trailing_data[0]:
            return False
        # Proxy-Connection never was a standard, but older proxies mean it (RFC 9112 C.2.2).
        options = response.tokens("connection") | response.tokens("proxy-connection")
        return "keep-alive" in options if response.version == "1.0" else "close" not in options

    def outgoing(self) -> bytes:
        """Return the request, once; then nothing."""
        data, self._outgoing = self._outgoing, b""
        return data

    def repeats_credentials(self, text: str) -> bool:
        """Whether the credentials that were sent stand in ``text``."""
        return self._authorization is not None and self._authorization.rpartition(" ")[2] in text

    def receive(self, data: bytes) -> None:
        """Process received bytes.

        Raises:
            ProxyProtocolError: this is no HTTP/1 response, or its head is too long.
        """
        if self.response is None:
            self._head += data
            data = self._read_heads()
        if self.open:
            self.ended = True
            self.rest += data
        elif self.response is not None and not self.ended:
            self._read_body(data)
        elif self.response is not None:
            self._cut = True  # more than its response

    def closed(self, *, reset: bool) -> None:
        """Note the end of the connection.

        Raises:
            ProxyProtocolError: it came before the head was complete.
        """
        if self.response is None:
            how = "reset" if reset else "closed"
            seen = self._seen + len(self._head)
            came = f"after {seen} bytes of" if seen else "before"
            hint = None if seen else "is it an HTTP proxy? SOCKS proxies do this"
            raise ProxyProtocolError(f"the proxy {how} the connection {came} its response", hint=hint)
        self._cut = self.ended = True

    def _read_heads(self) -> bytes:
        """Read complete heads up to the final one; return what follows it."""
        if not self._seen:
            self._check_start()
        while self.response is None:
            found = _END.search(self._head, max(0, self._searched - 2))
            size = len(self._head) if found is None else found.end()
            if self._seen + size > MAX_HEAD:
                raise ProxyProtocolError(f"the head of the proxy's response is longer than {MAX_HEAD // 1024} KiB")
            if found is None:
                self._searched = size
                return b""
            head = bytes(self._head[:size])
            del self._head[:size]
            self._searched = 0
            self._seen += size
            self._read_head(head)
        return bytes(self._head)

    def _check_start(self) -> None:
        start = bytes(self._head[: len(START)])
        if START.startswith(start):
            return
        if start.startswith(b"HTTP/"):
            what = f"its reply begins with {start.decode('latin-1')!a}, which is not HTTP/1"
        elif start.startswith(b"<"):
            what = "its reply is a page without a status line"
        elif start.startswith(b"H"):
            what = f"its reply begins with {start.hex(' ')}"
        else:
            known = other_protocol(start[:2])
            if known is None:
                return  # one byte is not enough
            what = known
        hint = "check the proxy's address and kind"
        if what == "it speaks HTTP/2":
            hint = "check the proxy's address; if it is reached by TLS, pass alpn=() to that layer"
        raise ProxyProtocolError(f"not an HTTP/1 proxy: {what}", hint=hint)

    def _read_head(self, head: bytes) -> None:
        if _SUCCESS.match(head):
            head = _FRAMING.sub(b"", head)
        try:
            self._connection.receive_data(head)
            event = self._connection.next_event()
        except h11.RemoteProtocolError as error:
            line = head.partition(b"\n")[0].decode("latin-1")[:80]
            if re.match(r"HTTP/1\.\d 101\b", line):
                raise ProxyProtocolError("the proxy switches protocols (101), which nobody asked for") from error
            raise ProxyProtocolError(f"malformed response of the proxy: {line!a}: {_what(error)}") from error
        if isinstance(event, h11.InformationalResponse):
            self.informational.append(event.status_code)
            return
        assert isinstance(event, h11.Response)
        fields = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers)
        version = event.http_version.decode("ascii")
        self.response = Response(event.status_code, event.reason.decode("latin-1"), fields, version)

    def _read_body(self, data: bytes) -> None:
        try:
            if data:
                self._connection.receive_data(data)
            while isinstance(event := self._connection.next_event(), h11.Data):
                self.body_size += len(event.data)
                self.body += bytes(event.data[: MAX_BODY - len(self.body)])
        except h11.RemoteProtocolError:
            self._cut = self.ended = True  # the status counts; nothing else can be sent on this connection
            return
        self.ended = isinstance(event, h11.EndOfMessage)


def _what(error: Exception) -> str:
    # h11's messages quote the offending line, which may be long, as a bytearray.
    return str(error).partition(":")[0]
