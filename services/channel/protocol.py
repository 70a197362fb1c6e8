"""One HTTP/2 connection, on the client's side."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from grpclib.client import Handler
from grpclib.config import Configuration
from grpclib.protocol import H2Protocol
from h2.config import H2Configuration

from ziggurat.services.channel.options import ConnectionOptions

__all__ = ["ClientProtocol"]


class ClientProtocol(H2Protocol):
    """grpclib's protocol for one client connection (skeleton)."""

    def __init__(
        self,
        options: ConnectionOptions,
        *,
        on_settings: Callable[[], None],
        on_draining: Callable[[], None],
        on_lost: Callable[[str], None],
    ) -> None:
        super().__init__(Handler(), Configuration().__for_client__(), H2Configuration(client_side=True))
        self.options = options
        self.settings_received = False
        self.foreign = False  # the peer spoke something else than HTTP/2: the same dial will not fare better
        self.failure: str | None = None
        self.lost = asyncio.Event()
        self.on_settings = on_settings
        self.on_draining = on_draining
        self.on_lost = on_lost

    @property
    def accepting(self) -> bool:
        """Whether a new call may start here."""
        return not self.lost.is_set()

    def close(self) -> None:
        """Take no new call, flush, close; abort after ``linger``."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """The same, and wait for the end."""
        raise NotImplementedError

    def abort(self) -> None:
        """Close at once; what is unsent is lost."""
        raise NotImplementedError
