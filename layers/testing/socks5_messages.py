"""The server side of SOCKS5's messages (RFC 1928, RFC 1929), independent of the client's code."""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass

from anyio.abc import ByteStream

from ziggurat.services.validation import check_count

__all__ = [
    "Credentials",
    "MalformedMessageError",
    "Request",
    "read_credentials",
    "read_exactly",
    "read_methods",
    "read_request",
    "reply",
]

VERSION = 5
AUTH_VERSION = 1
NO_AUTH, USER_PASSWORD, NO_METHOD = 0x00, 0x02, 0xFF
CONNECT = 1
IPV4, NAME, IPV6 = 1, 3, 4
SUCCEEDED, FAILURE, NOT_ALLOWED, NET_UNREACHABLE, HOST_UNREACHABLE, REFUSED = range(6)
TTL_EXPIRED, BAD_COMMAND, BAD_ADDRESS = 6, 7, 8


class MalformedMessageError(ValueError):
    """The client does not speak SOCKS5.

    Attributes:
        reply_code: the code to reply with (RFC 1928 section 6).
    """

    def __init__(self, message: str, reply_code: int = FAILURE) -> None:
        super().__init__(message)
        self.reply_code = reply_code


@dataclass(frozen=True, slots=True)
class Credentials:
    """Username and password (RFC 1929 section 2). ``repr`` shows both, since they are a test's own."""

    username: bytes
    password: bytes


@dataclass(frozen=True, slots=True)
class Request:
    """A SOCKS5 request (RFC 1928 section 4).

    Attributes:
        command: 1 for CONNECT.
        atyp: 1 for IPv4, 3 for a name, 4 for IPv6.
        host: the address or name as text; non-ASCII bytes of a name are escaped.
        port: 0 to 65535.
    """

    command: int
    atyp: int
    host: str
    port: int


async def read_exactly(stream: ByteStream, size: int) -> bytes:
    """Read exactly ``size`` bytes.

    Raises:
        EndOfStream: the stream ended before that.
    """
    data = b""
    while len(data) < size:
        data += await stream.receive(size - len(data))
    return data


async def read_methods(stream: ByteStream) -> tuple[int, ...]:
    """Read the greeting; return the methods that the client offers."""
    version, count = await read_exactly(stream, 2)
    if version != VERSION:
        raise MalformedMessageError(f"the greeting begins with {version:#04x}, not with 0x05")
    return tuple(await read_exactly(stream, count))


async def read_credentials(stream: ByteStream) -> Credentials:
    """Read the username and the password."""
    (version,) = await read_exactly(stream, 1)
    if version != AUTH_VERSION:
        raise MalformedMessageError(f"the credentials begin with {version:#04x}, not with 0x01")
    username = await _read_text(stream)
    return Credentials(username, await _read_text(stream))


async def read_request(stream: ByteStream) -> Request:
    """Read the request."""
    version, command, reserved, atyp = await read_exactly(stream, 4)
    if version != VERSION or reserved != 0:
        raise MalformedMessageError(f"the request begins with {version:#04x} and has {reserved:#04x} as reserved byte")
    if atyp == NAME:
        host = (await _read_text(stream)).decode("ascii", "backslashreplace")
    elif atyp in (IPV4, IPV6):
        host = str(ipaddress.ip_address(await read_exactly(stream, 4 if atyp == IPV4 else 16)))
    else:
        raise MalformedMessageError(f"unknown address type {atyp:#04x}", BAD_ADDRESS)
    (port,) = struct.unpack("!H", await read_exactly(stream, 2))
    return Request(command, atyp, host, port)


def reply(code: int, host: str = "0.0.0.0", port: int = 0) -> bytes:
    """Make a reply. ``host`` determines the address type: IPv4, IPv6, or otherwise a name.

    Raises:
        TypeError, ValueError: a number or the name does not fit its field.
    """
    check_count("code", code, minimum=0, maximum=2**8 - 1, optional=False)
    check_count("port", port, minimum=0, maximum=2**16 - 1, optional=False)
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        text = host.encode("ascii")
        if len(text) > 255:
            raise ValueError(f"a name has at most 255 bytes, not {len(text)}") from None
        bound = bytes([NAME, len(text)]) + text
    else:
        bound = bytes([IPV4 if address.version == 4 else IPV6]) + address.packed
    return bytes([VERSION, code, 0]) + bound + struct.pack("!H", port)


async def _read_text(stream: ByteStream) -> bytes:
    (size,) = await read_exactly(stream, 1)
    return await read_exactly(stream, size)
