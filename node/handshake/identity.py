"""Our identity in the handshake."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from ziggurat.node.address import NetAddress
from ziggurat.node.wire import PEER_ID_BYTES, Version, truncated_user_agent
from ziggurat.services.version import version

__all__ = ["MIN_PROTOCOL_VERSION", "PROTOCOL_VERSION", "NodeIdentity", "user_agent"]

PROTOCOL_VERSION = 11
"""The version of kaspad 2.1.0. Every release accepts peers with a higher number and then uses its own."""

MIN_PROTOCOL_VERSION = 10
"""Older versions encode blocks differently; kaspad 2.1.0 refuses them, too."""


def user_agent(comments: Iterable[str] = ()) -> str:
    """Return ``/ziggurat:VERSION/``, or ``/ziggurat:VERSION(one; two)/`` with comments, cut to 256 bytes.

    Raises:
        ValueError: a comment contains one of ``/:()`` or a control character.
    """
    parts = list(comments)
    for part in parts:
        if not part.isprintable() or set(part) & set("/():"):
            raise ValueError(f"bad user agent comment: {part!r} (no '/', ':', '(' or ')')")
    shown = f"({'; '.join(parts)})" if parts else ""
    return truncated_user_agent(f"/ziggurat:{version()}{shown}/")


def _new_id() -> bytes:
    return secrets.token_bytes(PEER_ID_BYTES)


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """The contents of our Version messages.

    Args:
        network: the network, e.g. ``kaspa-mainnet``.
        user_agent: our user agent.
        id: 16 bytes, new for each process; nodes detect connections to themselves and duplicate connections by it.
        address: the address to advertise; ``None`` advertises none, as behind a proxy.
        protocol_version: the highest protocol version that we support.

    Raises:
        ValueError: the network is empty, or the id is not 16 bytes.
    """

    network: str
    user_agent: str = field(default_factory=user_agent)
    id: bytes = field(default_factory=_new_id)
    address: NetAddress | None = None
    protocol_version: int = PROTOCOL_VERSION

    def __post_init__(self) -> None:
        if not self.network:
            raise ValueError("network must not be empty")
        if len(self.id) != PEER_ID_BYTES:
            raise ValueError(f"id must have {PEER_ID_BYTES} bytes, not {len(self.id)}")

    def version(self, *, timestamp: int | None = None) -> Version:
        """Return our Version; ``timestamp`` is in milliseconds since 1970, ``None`` is the current time."""
        return Version(
            protocol_version=self.protocol_version,
            network=self.network,
            id=self.id,
            user_agent=self.user_agent,
            timestamp=time.time_ns() // 1_000_000 if timestamp is None else timestamp,
            address=self.address,
        )
