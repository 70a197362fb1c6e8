"""The order in which to dial known addresses: random, weighted by failures and by the size of their subnet."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import TypeAlias

from ziggurat.node.address import NetAddress, NodeAddress, canonical_ip

__all__ = ["FAILURE_FACTOR", "MAX_FAILURES", "Candidate", "bucket_of", "pick_order", "weights"]

Candidate: TypeAlias = tuple[NodeAddress, int]
"""An address and its failures in a row, 0 to 3. Kept in lists, since hashing 4096 addresses is slow."""

MAX_FAILURES = 3
"""One more failure removes an address."""

FAILURE_FACTOR = 64
"""Each failure divides the weight of an address by this."""


def bucket_of(address: NodeAddress) -> bytes:
    """Return the prefix that neighbours share: 2 bytes of an IPv4 address, 8 of an IPv6 one, 4 bits of an onion's key.

    v4-mapped and v4-compatible addresses (RFC 4291 2.5.5) count as IPv4. Onion services cost nothing to make, so that
    all of them have as few buckets as in Bitcoin Core.
    """
    if not isinstance(address, NetAddress):
        return bytes([address.onion.public_key[0] >> 4])
    ip = canonical_ip(address.ip)
    if isinstance(ip, IPv6Address) and int(ip) < 1 << 32:
        ip = IPv4Address(int(ip))
    return ip.packed[:2] if ip.version == 4 else ip.packed[:8]


def weights(candidates: Sequence[Candidate]) -> list[float]:
    """Return each candidate's weight: ``64^(4 - failures) / n``, with ``n`` candidates in its bucket.

    So a whole bucket weighs as much as a single address, however many addresses an attacker has in it.
    """
    buckets = [bucket_of(address) for address, _ in candidates]
    sizes = Counter(buckets)
    return [
        FAILURE_FACTOR ** (MAX_FAILURES + 1 - failures) / sizes[bucket]
        for (_, failures), bucket in zip(candidates, buckets, strict=True)
    ]


def pick_order(candidates: Sequence[Candidate], rng: random.Random) -> list[NodeAddress]:
    """Return all candidates in the order of a weighted draw without replacement.

    The draw takes one pass: each candidate gets an exponentially distributed arrival time whose rate is its weight. In
    any group, the probability of arriving first is the candidate's share of the group's weight.

    Args:
        candidates: the candidates, each address once.
        rng: the source of randomness.
    """
    arrivals = [rng.expovariate(weight) for weight in weights(candidates)]
    return [candidates[index][0] for index in sorted(range(len(candidates)), key=arrivals.__getitem__)]
