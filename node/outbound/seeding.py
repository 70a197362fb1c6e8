"""Query DNS seeders for addresses, as many seeders as needed."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

import anyio

from ziggurat.layers.events import Level, write_event
from ziggurat.node.address import NamedAddress, NetAddress, NodeAddress
from ziggurat.services import ConnectError, ProxyAuthError, ProxyError, ProxyRefused

__all__ = ["NOT_SUPPORTED", "SeedResult", "Seeders"]

ADDRESSES_PER_MISSING_PEER = 2
"""Addresses to collect for each missing peer: about half of the nodes are reachable."""

NOT_SUPPORTED = 0x07
"""The reply of a proxy without a look-up command, which few but Tor have (RFC 1928 section 6)."""


PROXY_PHASES = frozenset({"tcp", "unix", "proxy.greeting", "proxy.auth"})
"""Where a lookup fails because of the proxy, which ``proxy.down`` tells once."""


@dataclass(slots=True)
class SeedResult:
    """What the seeders returned.

    Attributes:
        addresses: the addresses of nodes.
        names: seeders that the proxy could not look up, to be dialled by name. Such a dial reaches one of the seeder's
            nodes, since the name resolves to their addresses.
        errors: why a lookup failed, other than by a refusal of the proxy.
    """

    addresses: list[NodeAddress] = field(default_factory=list[NodeAddress])
    names: list[NamedAddress] = field(default_factory=list[NamedAddress])
    errors: list[ConnectError] = field(default_factory=list[ConnectError])


class Seeders:
    """The DNS seeders of a network. One that fails again and again is logged as a warning once, until it answers.

    Events: ``seeder.answered`` (``seeder``, ``count``), ``seeder.by_name`` (``seeder``, ``via``), ``seeder.failed``
    (``seeder``, ``error``).

    Args:
        names: the names of the seeders.
        port: the port of the network's nodes, since DNS returns none.
        resolve: looks a name up.
        rng: the source of randomness for the order.
    """

    def __init__(
        self, names: Sequence[str], port: int, resolve: Callable[[str], Awaitable[list[str]]], rng: random.Random
    ) -> None:
        self._names = names
        self._port = port
        self._resolve = resolve
        self._rng = rng
        self._failed: set[str] = set()
        self._asking = False

    async def ask(self, *, missing: int, target: int) -> SeedResult | None:
        """Query all seeders at once when more than half of the peers are missing, else one by one until it is enough.

        Args:
            missing: the number of missing peers.
            target: the number of peers to keep.

        Returns:
            What they returned; ``None`` while another call is waiting for them.
        """
        if self._asking:
            return None
        self._asking = True
        try:
            return await self._ask(missing, at_once=2 * missing > target)
        finally:
            self._asking = False

    async def _ask(self, missing: int, *, at_once: bool) -> SeedResult:
        found = SeedResult()
        if at_once:
            async with anyio.create_task_group() as tasks:
                for seeder in self._names:
                    tasks.start_soon(self._query, seeder, found)
            return found
        for seeder in self._rng.sample(self._names, len(self._names)):
            await self._query(seeder, found)
            if len(found.addresses) >= ADDRESSES_PER_MISSING_PEER * missing:
                break
        return found

    async def _query(self, seeder: str, found: SeedResult) -> None:
        try:
            texts = await self._resolve(seeder)
        except ConnectError as error:
            if isinstance(error, ProxyError) and not isinstance(error, ProxyAuthError):
                found.names.append(NamedAddress(seeder, self._port))
            if not isinstance(error, ProxyRefused):
                found.errors.append(error)
            if isinstance(error, ProxyError) and error.reply_code == NOT_SUPPORTED:
                write_event(None, "debug", "seeder.by_name", seeder=seeder, via=error.via)
            else:
                known = seeder in self._failed or error.phase in PROXY_PHASES
                level: Level = "debug" if known else "warning"
                self._failed.add(seeder)
                write_event(None, level, "seeder.failed", seeder=seeder, error=str(error))
            return
        self._failed.discard(seeder)
        addresses = [NetAddress(ip_address(text), self._port) for text in texts]
        found.addresses += addresses
        write_event(None, "info", "seeder.answered", seeder=seeder, count=len(addresses))
