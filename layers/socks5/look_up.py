"""Look a name or an address up through a SOCKS5 proxy: Tor's RESOLVE and RESOLVE_PTR.

They are a CONNECT request with another command, and open no tunnel. Tor returns one answer, in the place of the bound
address (tor-spec, "socks-extensions"). Other proxies reply 07, "command not supported", or close the connection.
"""

from __future__ import annotations

from ipaddress import ip_address

from anyio import BrokenResourceError, CancelScope, ClosedResourceError, EndOfStream, aclose_forcefully
from anyio.abc import ByteStream

from ziggurat.layers.socks5.auth import Credentials
from ziggurat.layers.socks5.handshake import Handshake, State, connect_request
from ziggurat.services.dial import phase
from ziggurat.services.errors import ResolveError
from ziggurat.services.service import Connector
from ziggurat.services.uri import Uri

__all__ = ["resolve_address", "resolve_name"]

COMMAND_OFFSET = 1
"""Position of the command byte in a request (RFC 1928 section 4)."""

RESOLVE = 0xF0
RESOLVE_PTR = 0xF1

ANY_PORT = 1
"""A look-up has no port, but a Uri needs one."""


async def resolve_name(connector: Connector, proxy: Uri, name: str, credentials: Credentials | None) -> str:
    """Return the IP address of ``name`` according to the proxy. Must be called within a dial.

    Args:
        connector: reaches the proxy.
        proxy: the proxy.
        name: the name, in ASCII.
        credentials: what to send if the proxy asks; Tor isolates look-ups by them as it does streams.

    Raises:
        ProxyError: as for a tunnel; reply 07 means that the proxy cannot look names up, 04 that it found no address.
        ResolveError: the answer is no IP address.
        ConnectError: the proxy was not reached.
    """
    found = await _ask(connector, proxy, RESOLVE, name, credentials)
    try:
        return str(ip_address(found))
    except ValueError:
        raise ResolveError(f"the proxy returned {found!r}, which is not an IP address") from None


async def resolve_address(connector: Connector, proxy: Uri, address: str, credentials: Credentials | None) -> str:
    """Return the name of an IP address according to the proxy; the arguments and errors are those of `resolve_name`."""
    found = await _ask(connector, proxy, RESOLVE_PTR, address, credentials)
    try:
        return Uri("tcp", found, ANY_PORT).host.removesuffix(".")
    except ValueError:
        raise ResolveError(f"the proxy returned {found!r}, which is not a name") from None


async def _ask(connector: Connector, proxy: Uri, command: int, host: str, credentials: Credentials | None) -> str:
    request = bytearray(connect_request(Uri("tcp", host, ANY_PORT)))
    request[COMMAND_OFFSET] = command
    request[-2:] = b"\0\0"  # the port
    handshake = Handshake(bytes(request), credentials)
    stream = await connector(proxy)
    try:
        with phase("proxy.resolve", via=proxy.authority):
            await _exchange(stream, handshake)
    finally:
        with CancelScope(shield=True):
            await aclose_forcefully(stream)
    return "" if handshake.bound is None else handshake.bound[0]


async def _exchange(stream: ByteStream, handshake: Handshake) -> None:
    try:
        while handshake.state is not State.OPEN:
            if message := handshake.outgoing():
                await stream.send(message)
            handshake.receive(await stream.receive(handshake.wants))
    except EndOfStream as error:
        raise handshake.closed(reset=False) from error
    except (BrokenResourceError, ClosedResourceError) as error:
        raise handshake.closed(reset=True) from error
