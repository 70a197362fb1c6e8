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

    Args:
        service: its name without ``.onion``; events of other services are ignored.

    Attributes:
        last_failure: why the last upload that failed did so, in a word; ``None`` if none has, or Tor gave no reason.
    """

    def __init__(self, service: str) -> None:
        self._service = service
        self._succeeded: dict[str, int] = {}  # uploads that succeeded, by descriptor
        # What each directory has not answered. It may be given both descriptors, and its answers name none.
        self._pending: dict[str, deque[str]] = {}
        self.last_failure: str | None = None

    def take(self, upload: DescriptorUpload) -> None:
        """Note a step of an upload."""
        if upload.service != self._service:
            return
        if upload.action == "UPLOAD" and upload.descriptor is not None:
            self._succeeded.setdefault(upload.descriptor, 0)
            self._pending.setdefault(upload.directory, deque()).append(upload.descriptor)
        elif upload.action in ("UPLOADED", "FAILED") and (waiting := self._pending.get(upload.directory)):
            descriptor = waiting.popleft()
            if not waiting:
                del self._pending[upload.directory]
            if upload.action == "UPLOADED":
                self._succeeded[descriptor] += 1
            else:
                self.last_failure = upload.reason

    @property
    def published(self) -> bool:
        """Whether every upload was answered, and at least one of each of the two descriptors succeeded."""
        good = sum(count > 0 for count in self._succeeded.values())
        return not self._pending and good >= DESCRIPTORS and good == len(self._succeeded)
