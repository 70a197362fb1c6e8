"""anyio's connectables, which connect to one place: a stack as one of them, and any of them as a leaf."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import anyio
from anyio.abc import ByteStream, ByteStreamConnectable

from ziggurat.services.dial import dial, phase
from ziggurat.services.errors import ConnectError
from ziggurat.services.service import Connector
from ziggurat.services.system_error import reason
from ziggurat.services.uri import Uri

__all__ = ["Connectable", "ConnectableConnector"]


@dataclass(frozen=True, slots=True)
class Connectable(ByteStreamConnectable):
    """A target behind a stack, for libraries that take an anyio ``ByteStreamConnectable``.

    Args:
        connector: dials.
        uri: the target.
    """

    connector: Connector
    uri: Uri

    async def connect(self) -> ByteStream:
        """Dial the target; the caller must close the stream.

        Raises:
            anyio.ConnectionFailed: the dial failed; the `ConnectError` is the cause, and has the same text.
        """
        try:
            with dial(self.uri) as current:
                return current.established(await self.connector(self.uri))
        except ConnectError as error:
            raise anyio.ConnectionFailed(str(error)) from error


@dataclass(frozen=True, slots=True)
class ConnectableConnector:
    """A leaf that connects by somebody else's ``ByteStreamConnectable`` (phase ``connectable``).

    Args:
        make: returns the connectable for a target, e.g. ``lambda uri: anyio.TCPConnectable(uri.host, uri.port)``.
    """

    make: Callable[[Uri], ByteStreamConnectable]

    async def __call__(self, uri: Uri, /) -> ByteStream:
        """Connect to ``uri``.

        Raises:
            ConnectError: the connectable failed with an ``OSError``, as ``anyio.ConnectionFailed`` is one.
        """
        with dial(uri) as current:
            connectable = self.make(uri)
            with phase("connectable"):
                try:
                    stream = await connectable.connect()
                except ConnectError:
                    raise
                except OSError as error:
                    if not isinstance(connectable, (anyio.TCPConnectable, anyio.UNIXConnectable)):
                        current.ledger.sent_to_target = True  # it may have been, as by a TLS handshake
                    raise ConnectError(reason(error)) from error
            return current.established(stream)
