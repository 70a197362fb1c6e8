"""Who we say we are."""

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
"""kaspad 2.1.0's. Every release takes a higher number than its own and then speaks its own."""

MIN_PROTOCOL_VERSION = 10
"""Below it blocks are written in another way, and kaspad 2.1.0 refuses them, too."""


def user_agent(comments: Iterable[str] = ()) -> str:
    """``/ziggurat:VERSION/``, or ``/ziggurat:VERSION(one; two)/``; honest, and cut to 256 bytes.

    Raises:
        ValueError: a comment has one of ``/()`` or a control character in it.
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
    """What our Version messages say.

    Args:
        network: e.g. ``kaspa-mainnet``.
        user_agent: what we call ourselves.
        id: 16 bytes, new for each process: by it a node notices that it has dialled itself, or a peer twice.
        address: where others can reach us; ``None`` says nothing, as behind a proxy.
        protocol_version: the highest one that we speak.

    Raises:
        ValueError: the network is empty, or the id has not 16 bytes.
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
        """Our Version; ``timestamp`` is in milliseconds since 1970, ``None`` takes the time of day."""
        return Version(
            protocol_version=self.protocol_version,
            network=self.network,
            id=self.id,
            user_agent=self.user_agent,
            timestamp=time.time_ns() // 1_000_000 if timestamp is None else timestamp,
            address=self.address,
        )
