"""Forward local connections to one target."""

from __future__ import annotations

from anyio.abc import ByteStream

from ziggurat.layers.events import EventLogger
from ziggurat.layers.forward.server import LocalServer, Report
from ziggurat.services.service import Connector
from ziggurat.services.uri import Uri, split_authority

__all__ = ["Forwarder", "parse_target"]


class Forwarder(LocalServer):
    """Lets programs that cannot be given a connector use one: they connect to a local port, and reach the target.

    Each connection of a client is one dial. One that fails resets that client's connection, and no other. The end of
    one direction is passed on, and the other direction goes on for as long as it likes.

    Args:
        connector: dials the target, once for each client.
        target: ``host:port``, a URI, or ``unix:/path``.
        max_connections: how many may be open at once; others wait to be accepted. ``None`` for no limit.
        idle_timeout: seconds without a byte in either direction, after which a connection is reset; ``None`` for no
            limit.
        drain: seconds that open connections get when the forwarder stops, before they are reset.
        report: is given the record of each connection when it has ended. It must not raise.
        logger: where ``forward.opened`` and ``forward.closed`` go, as for `LoggingLayer`.

    Attributes:
        target: the target.

    Raises:
        TypeError, ValueError: an argument is wrong.
    """

    def __init__(
        self,
        connector: Connector,
        target: str | Uri,
        *,
        max_connections: int | None = 1000,
        idle_timeout: float | None = None,
        drain: float = 10.0,
        report: Report | None = None,
        logger: EventLogger | None = None,
    ) -> None:
        super().__init__(connector, max_connections, idle_timeout, drain, report, logger)
        self.target = parse_target(target) if isinstance(target, str) else target

    async def _target(self, client: ByteStream) -> Uri:
        return self.target

    async def _tell(self, client: ByteStream, error: Exception | None) -> None:
        pass  # it sees the bytes, or a reset

    def __repr__(self) -> str:
        return f"Forwarder(to {self.target}, {len(self._active)} open)"


def parse_target(text: str) -> Uri:
    """Parse ``host:port``, ``[IPv6]:port``, a URI, ``unix:/path`` or ``unix-abstract:name``.

    Raises:
        ValueError: a part is missing or wrong; the message quotes it.
    """
    if "://" in text or text.startswith(("unix:", "unix-abstract:")):
        return Uri.parse(text)
    host, port = split_authority(text)
    if port is None:
        raise ValueError(f"no port in {text!r}")
    return Uri("tcp", host, port)
