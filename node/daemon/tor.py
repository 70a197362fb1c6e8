"""A running node's side of Tor: the link to its control port, as the settings say, and the onion service."""

from __future__ import annotations

from dataclasses import dataclass

import anyio
import anyio.to_thread

from ziggurat.node.address import OnionNetAddress
from ziggurat.node.config import Proxy, Settings
from ziggurat.node.connection_handler import ConnectionHandler
from ziggurat.node.p2p_service import P2pService
from ziggurat.node.tor import ControlCredentials, OnionService, TorLink, controller_opener, load_library, make_onion_key
from ziggurat.services import Uri

__all__ = ["NodeTor"]


@dataclass(frozen=True, slots=True)
class NodeTor:
    """The link to Tor of one node.

    Attributes:
        link: the link.
        key: the key of the onion service; ``None`` without one.
    """

    link: TorLink
    key: str | None

    @classmethod
    async def from_settings(cls, settings: Settings, handler: ConnectionHandler) -> NodeTor | None:
        """Return the link, which is not running yet; ``None`` without a control port. The key is made, if need be.

        The handler's ways are replaced whenever Tor tells its SOCKS port, if it is asked for it.

        Raises:
            OSError: the key cannot be read or written.
            ValueError: it is no key, or others may read it.
            ImportError: the library for the control port is not installed.
        """
        control = settings.tor_control
        if control is None:
            return None

        def take_socks(uri: Uri) -> None:
            handler.ways = settings.ways.with_tor(Proxy(uri))

        await anyio.to_thread.run_sync(load_library)
        credentials = ControlCredentials(settings.tor_password_file, settings.tor_cookie)
        opener = controller_opener(control, credentials, handler.reach_control_port)
        link = TorLink(control, opener, take_socks=take_socks if settings.asks_tor else None)
        return cls(link, make_onion_key(settings.onion_key) if settings.listen_onion else None)

    async def wait_onion(self) -> OnionNetAddress:
        """Wait until the onion service can be found, and return its address."""
        return OnionNetAddress.parse(await self.link.onion.wait_published())

    async def run(self, settings: Settings, service: P2pService) -> None:
        """Keep the link, and publish the onion service of a service that has started, until cancelled."""
        self.link.status.on_up(service.manager.on_tor_up)
        if self.key is not None and service.onion_target is not None:

            def take_name(name: str) -> None:
                service.onion = OnionNetAddress.parse(name)  # from now on never dialled

            self.link.onion.publish(OnionService(self.key, settings.network.port, service.onion_target), take_name)
        await self.link.run()
