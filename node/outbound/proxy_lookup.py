"""Look a name up through a SOCKS5 proxy: Tor's RESOLVE, a CONNECT request with another command and no tunnel.

Tor returns one address, in the place of the bound address (tor-spec, socks-extensions). Other proxies reply 07,
"command not supported", or close the connection.
"""

from __future__ import annotations

from anyio import BrokenResourceError, CancelScope, ClosedResourceError, EndOfStream, aclose_forcefully
from anyio.abc import ByteStream

from ziggurat.layers import Socks5Layer
from ziggurat.layers.socks5.auth import credentials_source
from ziggurat.layers.socks5.handshake import Handshake, State, connect_request
from ziggurat.services import Connector, Uri, phase

__all__ = ["resolve_through_proxy"]

COMMAND_OFFSET = 1
"""Position of the command byte in a request (RFC 1928 section 4)."""

RESOLVE = 0xF0


async def resolve_through_proxy(proxy: Socks5Layer, connector: Connector, target: Uri) -> str:
    """Return the address of ``target``'s host according to the proxy. Must be called within a dial.

    Args:
        proxy: the proxy and its credentials.
        connector: the connector that reaches the proxy.
        target: the target; only its host is used.

    Raises:
        ProxyError: as for a tunnel; reply 07 means that the proxy cannot look names up, 04 that it found no address.
        ConnectError: the proxy was not reached.
    """
    request = bytearray(connect_request(target))
    request[COMMAND_OFFSET] = RESOLVE
    request[-2:] = b"\0\0"  # the port
    handshake = Handshake(bytes(request), credentials_source(proxy.auth)(target))
    stream = await connector(proxy.proxy)
    try:
        with phase("proxy.resolve", via=proxy.proxy.authority):
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
