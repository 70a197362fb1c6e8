"""Query DNS seeders for addresses, as many seeders as needed."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

import anyio

from ziggurat.layers.events import write_event
from ziggurat.node.address import NamedAddress, NetAddress
from ziggurat.services import ConnectError, ProxyAuthError, ProxyError

__all__ = ["SeedResult", "ask_seeders"]

ADDRESSES_PER_MISSING_PEER = 2
"""Addresses to collect for each missing peer: about half of the nodes are reachable."""

NOT_SUPPORTED = 0x07
"""The reply of a proxy without a look-up command, which few but Tor have (RFC 1928 section 6)."""


@dataclass(slots=True)
class SeedResult:
    """What the seeders returned.

    Attributes:
        addresses: the addresses of nodes.
        names: seeders that the proxy could not look up, to be dialled by name. Such a dial reaches one of the seeder's
            nodes, since the name resolves to their addresses.
    """

    addresses: list[NetAddress] = field(default_factory=list[NetAddress])
    names: list[NamedAddress] = field(default_factory=list[NamedAddress])


async def ask_seeders(
    resolve: Callable[[str], Awaitable[list[str]]],
    seeders: Sequence[str],
    port: int,
    *,
    missing: int,
    target: int,
    rng: random.Random,
) -> SeedResult:
    """Query all seeders at once when more than half of the peers are missing, else one by one until there are enough.

    Args:
        resolve: looks a name up. Its `ConnectError` is logged, and the seeder skipped.
        seeders: the names of the seeders.
        port: the port of the network's nodes, since DNS returns none.
        missing: the number of missing peers.
        target: the number of peers to keep.
        rng: the source of randomness for the order.
    """
    found = SeedResult()

    async def ask(seeder: str) -> None:
        try:
            texts = await resolve(seeder)
        except ConnectError as error:
            if isinstance(error, ProxyError) and not isinstance(error, ProxyAuthError):
                found.names.append(NamedAddress(seeder, port))
            if isinstance(error, ProxyError) and error.reply_code == NOT_SUPPORTED:
                write_event(None, "debug", "seeder.by_name", seeder=seeder, via=error.via)
            else:
                write_event(None, "warning", "seeder.failed", seeder=seeder, error=str(error))
            return
        addresses = [NetAddress(ip_address(text), port) for text in texts]
        found.addresses += addresses
        write_event(None, "info", "seeder.answered", seeder=seeder, count=len(addresses))

    if 2 * missing > target:
        async with anyio.create_task_group() as tasks:
            for seeder in seeders:
                tasks.start_soon(ask, seeder)
        return found
    for seeder in rng.sample(seeders, len(seeders)):
        await ask(seeder)
        if len(found.addresses) >= ADDRESSES_PER_MISSING_PEER * missing:
            break
    return found
