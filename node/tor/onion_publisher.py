"""The node's onion service on a control connection: published, watched, withdrawn with the connection."""

from __future__ import annotations

from collections.abc import Callable

import anyio

from ziggurat.layers.events import Level, write_event
from ziggurat.node.tor.controller import Controller, DescriptorUpload, TorRefused
from ziggurat.node.tor.publication import OnionService, Publication
from ziggurat.services import Backoff

__all__ = ["OnionPublisher"]

SLOW_PUBLICATION = 120.0
"""Seconds after which an onion service that is not published yet is worth a warning."""


class OnionPublisher:
    """Publishes one service, on one control connection after the other.

    Events: ``onion.publishing`` (``onion``, ``error``) when the service's descriptors are being uploaded, again as a
    warning when that takes long, and when later uploads fail; ``onion.published`` (``onion``, ``elapsed``) when it can
    be found; ``onion.withdrawn`` (``onion``, ``reason``) when it no longer can.

    Args:
        backoff: between two attempts to publish what Tor refuses.

    Attributes:
        name: the name of the service with ``.onion``, from its first publication on, as long as the connection
            lasts; ``None`` otherwise.
    """

    def __init__(self, backoff: Backoff) -> None:
        self.name: str | None = None
        self._backoff = backoff
        self._service: OnionService | None = None
        self._take_name: Callable[[str], object] | None = None
        self._given = anyio.Event()
        self._address: str | None = None  # NAME.onion:PORT, of the service that Tor knows
        self._publication: Publication | None = None
        self._early: list[DescriptorUpload] = []  # events from before Tor has told the service's name
        self._published = anyio.Event()
        self._changed = anyio.Event()

    def publish(self, service: OnionService, take_name: Callable[[str], object] | None = None) -> None:
        """Publish a service, now or once Tor is there, and after each loss of the connection again.

        ``take_name`` is called each time that Tor has taken it, with its name and port: ``NAME.onion:PORT``.
        """
        self._service = service
        self._take_name = take_name
        self._given.set()

    async def wait_published(self) -> str:
        """Wait until the service can be found; return its name and port, ``NAME.onion:PORT``."""
        while self.name is None or self._address is None:
            await self._published.wait()
        return self._address

    def take(self, upload: DescriptorUpload) -> None:
        """Note what Tor tells of an upload."""
        if self._publication is not None:
            self._publication.take(upload)
            self._changed.set()
        elif self._service is not None:
            self._early.append(upload)

    async def keep_published(self, controller: Controller) -> None:
        """Publish the service and watch its uploads, until cancelled: it lives as long as the connection.

        What Tor refuses is said once, and tried again: an old service may not be gone yet.

        Raises:
            TorError: the connection failed.
        """
        await self._given.wait()
        failures, said = 0, None
        while True:
            try:
                await self._publish(controller)
            except TorRefused as error:
                level: Level = "debug" if str(error) == said else "warning"
                said = str(error)
                write_event(None, level, "onion.publishing", onion=None, error=said)
            failures += 1
            await anyio.sleep(self._backoff.delay(failures))

    def withdraw(self, reason: str) -> None:
        """Note that the connection is lost, and the service with it."""
        if self._address is not None:
            write_event(None, "warning", "onion.withdrawn", onion=self._address, reason=reason)
        self._address = self.name = self._publication = None
        if self._published.is_set():
            self._published = anyio.Event()

    async def _publish(self, controller: Controller) -> None:
        service, began = self._service, anyio.current_time()
        assert service is not None
        self._early.clear()
        name = await controller.add_onion(service.key, service.port, service.target)
        self._address = f"{name}.onion:{service.port}"
        if self._take_name is not None:
            self._take_name(self._address)
        self._publication = publication = Publication(name)
        for upload in self._early:
            publication.take(upload)
        write_event(None, "info", "onion.publishing", onion=self._address, error=None)
        with anyio.move_on_after(SLOW_PUBLICATION):
            await self._until(lambda: publication.published)
        while True:
            if not publication.published:
                reason = publication.last_failure or "Tor's uploads are not answered"
                write_event(None, "warning", "onion.publishing", onion=self._address, error=reason)
                await self._until(lambda: publication.published)
            self.name = f"{name}.onion"
            self._published.set()
            elapsed = round(anyio.current_time() - began, 3)
            write_event(None, "info", "onion.published", onion=self._address, elapsed=elapsed)
            await self._until(lambda: publication.failed)
            began = anyio.current_time()

    async def _until(self, state: Callable[[], bool]) -> None:
        while not state():
            self._changed = anyio.Event()
            await self._changed.wait()
