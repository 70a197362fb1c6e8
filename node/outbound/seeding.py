"""Ask DNS seeders for first addresses, as many as are needed and no more."""

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
"""Addresses for each peer that is missing: about half of them answer."""


NOT_SUPPORTED = 0x07
"""The reply of a proxy that has no command for look-ups, as most but Tor's (RFC 1928 section 6)."""


@dataclass(slots=True)
class SeedResult:
    """What came of it.

    Attributes:
        addresses: of nodes.
        names: seeders that the proxy looks up for nobody. A dial to such a name ends at one of the nodes that the
            seeder knows, since whatever resolves it in the end gets their addresses.
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
    """Ask all seeders at once when more than half of the peers are missing, else one by one until it is enough.

    Args:
        resolve: looks a name up; whatever it raises of a dial's errors is logged, and the next seeder is as good.
        seeders: their names.
        port: of the network's nodes; DNS tells none.
        missing: peers.
        target: peers that there should be.
        rng: where the order comes from.
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
