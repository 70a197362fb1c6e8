"""The client side of a SOCKS5 handshake (RFC 1928, 1929), sans-I/O.

::

    GREETING --00--> CONNECT --00--> OPEN
       |                ^
       +------02--> AUTH

Rules of this file:

1. `Handshake.wants` is the number of bytes that may be read without reading beyond the current message: what follows
   the last reply belongs to the tunnel.
2. Each byte is checked as it arrives. Many proxies truncate an error reply, send address type 0 in it, or wait for us
   to close, so an error is reported from the reply code alone.
3. socksio formats what is sent and parses success replies with IP addresses. Partial messages, reply codes above 08 and
   replies with a domain name are handled here, since socksio does not.
"""

from __future__ import annotations

import enum
import ipaddress
from typing import Literal, TypeAlias

from socksio.socks5 import (
    SOCKS5AType,
    SOCKS5AuthMethod,
    SOCKS5AuthMethodsRequest,
    SOCKS5Command,
    SOCKS5CommandRequest,
    SOCKS5Reply,
    SOCKS5UsernamePasswordRequest,
)

from ziggurat.layers.other_protocols import other_protocol
from ziggurat.layers.socks5.auth import Credentials
from ziggurat.layers.socks5.replies import reply
from ziggurat.services.errors import ConnectError, ProxyAuthError, ProxyProtocolError, ProxyRefused
from ziggurat.services.uri import MAX_HOST, Uri

__all__ = ["Handshake", "Literals", "Pipeline", "State", "connect_request"]

Pipeline: TypeAlias = Literal["auth", "all"] | None
Literals: TypeAlias = Literal["as-is", "domain"]

NO_AUTH = 0x00
USER_PASS = 0x02
NO_ACCEPTABLE_METHOD = 0xFF

HEAD = 4
"""Bytes of a reply up to its address type."""
SHORTEST_REPLY = 7
"""Bytes: a domain reply with an empty name. No successful reply is shorter, so that much can be read at once."""
ADDRESS_TYPES = {1: 4, 3: 0, 4: 16}
"""Length of the address by type, in bytes; a domain name has a length byte instead."""


class State(enum.Enum):
    """The reply that comes next. The values are names of phases."""

    GREETING = "proxy.greeting"
    AUTH = "proxy.auth"
    CONNECT = "proxy.connect"
    OPEN = "open"


class Handshake:
    """One handshake: send `outgoing`, read at most `wants` bytes, pass them to `receive`, until `state` is ``OPEN``.

    Attributes:
        state: the reply that comes next.
        method: the method that the proxy chose; ``None`` until then.
        bound: address and port in the successful reply (RFC 1928's BND), for information only; ``None`` until then.
        odd: a tolerated violation of the RFC by the proxy, or ``None``.
    """

    __slots__ = (
        "_buffer",
        "_credentials",
        "_methods",
        "_outgoing",
        "_pipeline",
        "_request",
        "bound",
        "method",
        "odd",
        "state",
    )

    def __init__(self, request: bytes, credentials: Credentials | None, pipeline: Pipeline = None) -> None:
        self._request = request
        self._credentials = credentials
        self._methods = _methods(credentials)
        self._pipeline: Pipeline = pipeline
        if pipeline == "all" and len(self._methods) > 1:
            self._pipeline = "auth"  # which messages follow depends on the proxy's choice
        self._buffer = b""
        self.state = State.GREETING
        self.method: int | None = None
        self.bound: tuple[str, int] | None = None
        self.odd: str | None = None
        self._outgoing = _greeting(self._methods)
        if self._pipeline == "all":
            self._outgoing += self._auth_message() + request

    @property
    def wants(self) -> int:
        """How many bytes may be read now without reading into the tunnel; 0 once the tunnel is open."""
        if self.state is State.OPEN:
            return 0
        return self._size() - len(self._buffer)

    @property
    def confidential(self) -> bool:
        """Whether `outgoing` may contain credentials."""
        return self._credentials is not None

    def outgoing(self) -> bytes:
        """Return what to send now, in one write; empty if it was pipelined."""
        data, self._outgoing = self._outgoing, b""
        return data

    def receive(self, data: bytes) -> None:
        """Process 1 to `wants` received bytes.

        Raises:
            ProxyProtocolError: the proxy does not speak SOCKS5.
            ProxyAuthError: the proxy does not accept our credentials.
            ProxyRefused: the reply code is not 00.
        """
        self._buffer += data
        if self.state is State.CONNECT:
            self._judge_reply()
        elif self.state is State.GREETING:
            self._judge_version()
        if self.state is not State.OPEN and len(self._buffer) == self._size():
            message, self._buffer = self._buffer, b""
            _HANDLERS[self.state](self, message)

    def closed(self, *, reset: bool) -> ProxyProtocolError:
        """Return the error for a connection that ended during the handshake."""
        how = "reset" if reset else "closed"
        came = f"after {len(self._buffer)} bytes of" if self._buffer else "before"
        hints = {
            State.GREETING: "is it a SOCKS5 proxy?",
            State.AUTH: "it may have rejected the credentials",
            State.CONNECT: "some proxies (ssh -D) close when the target refuses",
        }
        return ProxyProtocolError(
            f"the proxy {how} the connection {came} its reply", hint=hints.get(self.state), transient=True
        )

    def _size(self) -> int:
        if self.state is not State.CONNECT:
            return 2
        if len(self._buffer) < HEAD + 1:
            return SHORTEST_REPLY
        if self._buffer[3] == 3:
            return HEAD + 1 + self._buffer[HEAD] + 2
        return HEAD + ADDRESS_TYPES[self._buffer[3]] + 2

    def _judge_version(self) -> None:
        if self._buffer[0] != 5 and (wrong := other_protocol(self._buffer[:2])) is not None:
            raise ProxyProtocolError(f"not a SOCKS5 proxy: {wrong}", hint="check the proxy's address and kind")

    def _judge_reply(self) -> None:
        self._judge_version()
        if len(self._buffer) > 1 and (code := self._buffer[1]):
            name, hint, transient = reply(code)
            raise ProxyRefused(
                f"the proxy replied: {name} ({code:#04x})", reply_code=code, hint=hint, transient=transient
            )
        if len(self._buffer) >= HEAD and self._buffer[3] not in ADDRESS_TYPES:
            raise ProxyProtocolError(f"unknown address type {self._buffer[3]:#04x} in the proxy's reply")

    def _method_chosen(self, message: bytes) -> None:
        method = self.method = message[1]
        if method == NO_ACCEPTABLE_METHOD:
            if self._credentials is None:
                raise ProxyAuthError("the proxy wants authentication (0xff)", hint="pass auth=UserPass(user, password)")
            hint = "it may not support authentication: drop auth= or use Isolated(required=False)"
            raise ProxyAuthError("the proxy accepts none of the methods offered (0xff)", hint=hint)
        if method not in self._methods:
            raise ProxyProtocolError(f"the proxy chose authentication method {method:#04x}, which was not offered")
        if method == USER_PASS:
            self.state = State.AUTH
            if self._pipeline != "all":
                self._outgoing = self._auth_message() + (self._request if self._pipeline == "auth" else b"")
        else:
            self.state = State.CONNECT
            if self._pipeline != "all":
                self._outgoing = self._request

    def _authenticated(self, message: bytes) -> None:
        version, status = message
        if status:
            raise ProxyAuthError(
                f"the proxy refused the credentials (status {status:#04x})", hint="check user name and password"
            )
        if version not in (1, 5):
            raise ProxyProtocolError(f"the proxy's authentication reply has version {version:#04x}, not 0x01")
        if version == 5:
            self.odd = "authentication reply with version 5"
        self.state = State.CONNECT
        if self._pipeline is None:
            self._outgoing = self._request

    def _connected(self, message: bytes) -> None:
        if message[3] == 3:
            name = message[HEAD + 1 : -2].decode("ascii", "backslashreplace")
            self.bound = name, int.from_bytes(message[-2:], "big")
        else:
            answer = SOCKS5Reply.loads(message)
            self.bound = answer.addr, answer.port
        self.state = State.OPEN

    def _auth_message(self) -> bytes:
        if self._credentials is None:
            return b""
        return SOCKS5UsernamePasswordRequest(self._credentials.username, self._credentials.password).dumps()


_HANDLERS = {
    State.GREETING: Handshake._method_chosen,  # pyright: ignore[reportPrivateUsage]
    State.AUTH: Handshake._authenticated,  # pyright: ignore[reportPrivateUsage]
    State.CONNECT: Handshake._connected,  # pyright: ignore[reportPrivateUsage]
}


def _methods(credentials: Credentials | None) -> tuple[int, ...]:
    if credentials is None:
        return (NO_AUTH,)
    return (USER_PASS,) if credentials.required else (NO_AUTH, USER_PASS)


def _greeting(methods: tuple[int, ...]) -> bytes:
    return SOCKS5AuthMethodsRequest([SOCKS5AuthMethod(bytes([method])) for method in methods]).dumps()


def connect_request(uri: Uri, literals: Literals = "as-is") -> bytes:
    """Return the request for a tunnel to ``uri``. A name is sent as it is, without a look-up.

    Raises:
        ConnectError: SOCKS5 cannot express this target, e.g. a unix socket or an IPv6 zone id.
    """
    if uri.is_unix:
        raise ConnectError(f"a SOCKS5 proxy cannot reach a unix socket ({uri})", transient=False)
    if "%" in uri.host:
        raise ConnectError(f"SOCKS5 cannot express a zone id ({uri.host})", transient=False)
    atype, address = SOCKS5AType.DOMAIN_NAME, uri.host.encode("ascii")
    if literals == "as-is" and uri.is_literal:
        parsed = ipaddress.ip_address(uri.host)
        atype = SOCKS5AType.IPV4_ADDRESS if parsed.version == 4 else SOCKS5AType.IPV6_ADDRESS
        address = parsed.packed
    if not 1 <= len(address) <= MAX_HOST:
        raise ConnectError(f"the host's {len(address)} bytes do not fit in a SOCKS5 request", transient=False)
    return SOCKS5CommandRequest(SOCKS5Command.CONNECT, atype, address, uri.port).dumps()
