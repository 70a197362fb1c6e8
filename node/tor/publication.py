"""The node's onion service, and whether it can be found yet.

A service of version 3 has two descriptors, for this time period and the next, and uploads each to several directories
(rend-spec-v3 2.2). A client that asks a directory too early gets none and does not ask it again for a while, so one
successful upload is not enough.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from ziggurat.node.tor.controller import DescriptorUpload

__all__ = ["OnionService", "Publication"]

DESCRIPTORS = 2


@dataclass(frozen=True, slots=True)
class OnionService:
    """An onion service to publish.

    Attributes:
        key: its private key, see `make_onion_key`.
        port: its virtual port.
        target: where Tor connects to, ``IP:PORT`` or ``unix:PATH``.
    """

    key: str = field(repr=False)
    port: int
    target: str


class Publication:
    """The uploads of one service, so far.

    Tor uploads a descriptor again every hour or so, and another one each day. What counts is how the latest uploads of
    the two went.

    Args:
        service: its name without ``.onion``; events of other services are ignored.

    Attributes:
        last_failure: why the last upload that failed did so, in a word; ``None`` if none has, or Tor gave no reason.
    """

    def __init__(self, service: str) -> None:
        self._service = service
        # Uploads that succeeded, by descriptor; the one that was begun last is the last.
        self._succeeded: dict[str, int] = {}
        # What each directory has not answered. It may be given both descriptors, and its answers name none.
        self._pending: dict[str, deque[str]] = {}
        self.last_failure: str | None = None

    def take(self, upload: DescriptorUpload) -> None:
        """Note a step of an upload."""
        if upload.service != self._service:
            return
        if upload.action == "UPLOAD" and upload.descriptor is not None:
            self._begin(upload.descriptor, upload.directory)
        elif upload.action in ("UPLOADED", "FAILED") and (waiting := self._pending.get(upload.directory)):
            descriptor = waiting.popleft()
            if not waiting:
                del self._pending[upload.directory]
            if upload.action == "FAILED":
                self.last_failure = upload.reason
            elif descriptor in self._succeeded:
                self._succeeded[descriptor] += 1

    def _begin(self, descriptor: str, directory: str) -> None:
        if not any(descriptor in waiting for waiting in self._pending.values()):
            if self._succeeded.pop(descriptor, None) is None and len(self._succeeded) >= DESCRIPTORS:
                del self._succeeded[next(iter(self._succeeded))]  # its day is over
            self._succeeded[descriptor] = 0
        self._pending.setdefault(directory, deque()).append(descriptor)

    @property
    def published(self) -> bool:
        """Whether every upload was answered, and at least one of each of the two descriptors succeeded."""
        return not self._pending and len(self._succeeded) >= DESCRIPTORS and all(self._succeeded.values())

    @property
    def failed(self) -> bool:
        """Whether every upload was answered, and none of one of the descriptors succeeded."""
        return not self._pending and not all(self._succeeded.values())
