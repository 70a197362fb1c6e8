"""Dial a unix socket, by its path or by its name in Linux's abstract namespace."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass

import anyio
import sniffio
from anyio.abc import ByteStream, SocketAttribute

from ziggurat.services.dial import dial, phase
from ziggurat.services.errors import ConnectError, ConnectRefused
from ziggurat.services.stream import ObservedStream, WrappedStream
from ziggurat.services.system_error import reason, system_error
from ziggurat.services.transport_stream import StreamProtocol, TransportStream
from ziggurat.services.uri import Uri
from ziggurat.services.validation import check_seconds

__all__ = ["UnixConnector"]


@dataclass(frozen=True, slots=True)
class UnixConnector:
    """The leaf that opens a unix stream socket (phase ``unix``); the `Uri` is ``unix:/path`` or ``unix-abstract:name``.

    Abstract names exist on Linux only, and have no permissions: every process of the network namespace can connect to
    one, or take a free one.

    Args:
        timeout: seconds; ``None`` for no limit.

    Raises:
        TypeError, ValueError: ``timeout`` is not a positive number.
    """

    timeout: float | None = None

    def __post_init__(self) -> None:
        check_seconds("timeout", self.timeout)

    async def __call__(self, uri: Uri, /) -> ByteStream:
        """Open a connection to ``uri.path``.

        Raises:
            ConnectRefused, ConnectError: the socket does not exist, or nothing listens on it, or this system has no
                abstract names (not transient).
            ConnectTimeout: ``timeout`` ran out.
        """
        with dial(uri) as current:
            via = None if uri == current.ledger.target else uri.authority
            with phase("unix", via=via, limit=self.timeout):
                if not uri.is_unix:
                    raise ConnectError(f"UnixConnector cannot dial {uri}", hint="use SocketConnector", transient=False)
                if uri.scheme == "unix":
                    return current.established(await _open(uri.path, uri.path))
                if sys.platform != "linux":
                    hint = "use unix: with a path"
                    raise ConnectError("only Linux has abstract unix sockets", hint=hint, transient=False)
                return current.established(await _open(f"\0{uri.path}", uri.authority))


async def _open(address: str, path: str) -> ObservedStream:
    # An abstract name is as long as it is: no NUL at its end, which gRPC's Go once sent (grpc-go#5678).
    try:
        if sniffio.current_async_library() == "asyncio":
            loop = asyncio.get_running_loop()
            stream: ObservedStream = TransportStream(*await loop.create_unix_connection(StreamProtocol, address))
        else:
            stream = WrappedStream(await anyio.connect_unix(address))
    except OSError as error:
        if isinstance(system_error(error), ConnectionRefusedError):
            raise ConnectRefused(f"{reason(error)} ({path})", hint="nothing listens there") from error
        # "AF_UNIX path too long" has no errno, and is not transient.
        known = getattr(system_error(error), "errno", None) is not None
        raise ConnectError(f"{reason(error)} ({path})", transient=known) from error
    try:
        # When the listener's backlog is full, Linux returns EAGAIN, which asyncio and trio take first for "in progress"
        # and then for success: only the missing peer gives it away.
        stream.extra(SocketAttribute.raw_socket).getpeername()
    except OSError as error:
        await anyio.aclose_forcefully(stream)
        raise ConnectError(f"the listener's backlog is full ({path})") from error
    return stream
