"""Our identity in the handshake."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from ziggurat.node.address import AddressNetwork, NetAddress
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


def _new_secret() -> bytes:
    return secrets.token_bytes(32)


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """The contents of our Version messages. `of_network` is what the peers of one network see.

    Args:
        network: the network, e.g. ``kaspa-mainnet``.
        user_agent: our user agent.
        id: 16 bytes, new for each process; nodes detect connections to themselves and duplicate connections by it.
        address: the address to advertise; ``None`` advertises none, as behind a proxy.
        protocol_version: the highest protocol version that we support.
        secret: what the ids of other networks are made from.

    Raises:
        ValueError: the network is empty, or the id is not 16 bytes.
    """

    network: str
    user_agent: str = field(default_factory=user_agent)
    id: bytes = field(default_factory=_new_id)
    address: NetAddress | None = None
    protocol_version: int = PROTOCOL_VERSION
    secret: bytes = field(default_factory=_new_secret, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.network:
            raise ValueError("network must not be empty")
        if len(self.id) != PEER_ID_BYTES:
            raise ValueError(f"id must have {PEER_ID_BYTES} bytes, not {len(self.id)}")

    def of_network(self, network: AddressNetwork) -> NodeIdentity:
        """Return the identity that the peers of a network see: with an id of its own, and only an address of it.

        So nobody who compares what they see can tell that a node at an IP address and an onion service are one. In ipv4
        the id is ``id``.
        """
        address = self.address if self.address is not None and self.address.network is network else None
        if network is AddressNetwork.IPV4:
            return replace(self, address=address)
        id = hmac.digest(self.secret, network.encode(), hashlib.sha256)[:PEER_ID_BYTES]
        return replace(self, id=id, address=address)

    def version(self, *, timestamp: int | None = None, services: int = 0) -> Version:
        """Return our Version; ``timestamp`` is in milliseconds since 1970, ``None`` is the current time."""
        return Version(
            protocol_version=self.protocol_version,
            network=self.network,
            id=self.id,
            user_agent=self.user_agent,
            timestamp=time.time_ns() // 1_000_000 if timestamp is None else timestamp,
            services=services,
            address=self.address,
        )
