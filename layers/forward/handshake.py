"""The server side of a SOCKS5 handshake (RFC 1928, 1929), sans-I/O.

::

    GREETING --00--> REQUEST --> DONE
       |                ^
       +------02--> AUTH

Rules of this file:

1. `ServerHandshake.wants` is the number of bytes that may be read without reading beyond the current message: what
   follows the request belongs to the tunnel, and a client may send it before our reply.
2. Any user name and password is accepted, also empty ones: they tell clients apart and keep nobody out. A client that
   offers them is asked for them, even if it also offers to go without.
3. The reply to a request has the address 0.0.0.0:0. Clients are known to take any other for the place to go to.
"""

from __future__ import annotations

import enum
import ipaddress

from ziggurat.services.uri import Uri

__all__ = ["BadClient", "ServerHandshake", "ServerState", "reply"]

VERSION, AUTH_VERSION = 5, 1
NO_AUTH, USER_PASS, NO_METHOD = 0x00, 0x02, 0xFF
CONNECT = 1
IPV4, NAME, IPV6 = 1, 3, 4
FAILURE, BAD_COMMAND, BAD_ADDRESS = 1, 7, 8

COMMANDS = {2: "BIND", 3: "UDP ASSOCIATE"}

OTHER_CLIENTS = {4: "SOCKS4", 0x16: "TLS", **dict.fromkeys(b"CDGHOPT", "HTTP")}
"""By the first byte. HTTP methods begin with capitals; a TLS handshake record is 16 (RFC 8446 5.1)."""


class ServerState(enum.Enum):
    """What the client has to send next."""

    GREETING = "greeting"
    AUTH = "credentials"
    REQUEST = "request"
    DONE = "nothing"


class BadClient(Exception):
    """The client does not speak SOCKS5, or asks for what there is not. Its text is one line."""


class ServerHandshake:
    """One handshake: read at most `wants` bytes, pass them to `receive`, send `outgoing`, until `state` is ``DONE``.

    Attributes:
        state: what the client has to send next.
        target: where it wants to go, with scheme ``tcp``; ``None`` until the request has come.
        credentials: user name and password; ``None`` if the client has none.
    """

    __slots__ = ("_buffer", "_outgoing", "credentials", "state", "target")

    def __init__(self) -> None:
        self.state = ServerState.GREETING
        self.target: Uri | None = None
        self.credentials: tuple[bytes, bytes] | None = None
        self._buffer = b""
        self._outgoing = b""

    @property
    def wants(self) -> int:
        """How many bytes may be read now without reading into the tunnel; 0 when nothing is missing."""
        return 0 if self.state is ServerState.DONE else self._size() - len(self._buffer)

    def outgoing(self) -> bytes:
        """Return what to send now; after a `BadClient`, too."""
        data, self._outgoing = self._outgoing, b""
        return data

    def receive(self, data: bytes) -> None:
        """Process 1 to `wants` received bytes.

        Raises:
            BadClient: the client is to be closed, after `outgoing`.
        """
        self._buffer += data
        if self.state is ServerState.GREETING and self._buffer[0] != VERSION:
            name = OTHER_CLIENTS.get(self._buffer[0])
            raise BadClient("the client does not speak SOCKS5" + (f" but {name}" if name else ""))
        if len(self._buffer) < self._size():
            return
        message, self._buffer = self._buffer, b""
        if self.state is ServerState.GREETING:
            self._greeted(message[2:])
        elif self.state is ServerState.AUTH:
            self._authenticated(message)
        else:
            self._requested(message)

    def closed(self) -> BadClient:
        """Return the error for a client that left during the handshake."""
        return BadClient(f"the client left before its {self.state.value}")

    def _size(self) -> int:
        """Return the length of the current message as far as its beginning tells, in bytes."""
        have = self._buffer
        if self.state is ServerState.GREETING:
            return 2 if len(have) < 2 else 2 + have[1]
        if self.state is ServerState.AUTH:
            # Version, length, name, length, password.
            if len(have) < 2:
                return 2
            named = 2 + have[1]
            return named + 1 if len(have) <= named else named + 1 + have[named]
        if len(have) < 5:
            return 5  # the shortest request has 7, and a name's length is the fifth
        if have[3] == NAME:
            return 5 + have[4] + 2
        return 4 + (16 if have[3] == IPV6 else 4) + 2

    def _greeted(self, methods: bytes) -> None:
        if USER_PASS in methods:
            self.state = ServerState.AUTH
            self._outgoing = bytes([VERSION, USER_PASS])
        elif NO_AUTH in methods:
            self.state = ServerState.REQUEST
            self._outgoing = bytes([VERSION, NO_AUTH])
        else:
            self._outgoing = bytes([VERSION, NO_METHOD])
            raise BadClient(
                f"the client offers no method of authentication that is known ({methods.hex(' ') or 'none'})"
            )

    def _authenticated(self, message: bytes) -> None:
        if message[0] != AUTH_VERSION:
            self._outgoing = bytes([AUTH_VERSION, 1])
            raise BadClient(f"the client's credentials begin with {message[0]:#04x}, not with 0x01")
        named = 2 + message[1]
        self.credentials = message[2:named], message[named + 1 :]
        self.state = ServerState.REQUEST
        self._outgoing = bytes([AUTH_VERSION, 0])

    def _requested(self, message: bytes) -> None:
        version, command, _, kind = message[:4]
        if version != VERSION:
            self._refuse(FAILURE, f"the client's request begins with {version:#04x}, not with 0x05")
        if command != CONNECT:
            name = COMMANDS.get(command, f"command {command:#04x}")
            self._refuse(BAD_COMMAND, f"the client asks for {name}: only CONNECT is supported")
        if kind not in (IPV4, NAME, IPV6):
            self._refuse(BAD_ADDRESS, f"the client's request has the unknown address type {kind:#04x}")
        host = (
            message[5:-2].decode("ascii", "backslashreplace")
            if kind == NAME
            else str(ipaddress.ip_address(message[4:-2]))
        )
        try:
            self.target = Uri("tcp", host, int.from_bytes(message[-2:], "big"))
        except ValueError as error:
            self._refuse(FAILURE, f"the client asks for what cannot be dialled: {error}")
        self.state = ServerState.DONE

    def _refuse(self, code: int, why: str) -> None:
        self._outgoing = reply(code)
        raise BadClient(why)


def reply(code: int) -> bytes:
    """Return the reply to a request; code 0 opens the tunnel."""
    return bytes([VERSION, code, 0, IPV4, 0, 0, 0, 0, 0, 0])
