"""In which order to try what is known: at random, the proven first, and no neighbourhood too often."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import TypeAlias

from ziggurat.node.address import IpAddress, NetAddress, canonical_ip

__all__ = ["FAILURE_FACTOR", "MAX_FAILURES", "Candidate", "bucket_of", "pick_order", "weights"]

Candidate: TypeAlias = tuple[NetAddress, int]
"""An address, and its failures in a row, 0 to 3. Lists of them, since hashing 4096 addresses takes a while."""

MAX_FAILURES = 3
"""An address that fails once more is forgotten."""

FAILURE_FACTOR = 64
"""One failure less makes an address so many times as likely."""


def bucket_of(ip: IpAddress) -> bytes:
    """Answer with what neighbours have in common: 2 bytes of an IPv4 address, 8 of an IPv6 one.

    v4-mapped and v4-compatible addresses (RFC 4291 2.5.5) count as IPv4.
    """
    ip = canonical_ip(ip)
    if isinstance(ip, IPv6Address) and int(ip) < 1 << 32:
        ip = IPv4Address(int(ip))
    return ip.packed[:2] if ip.version == 4 else ip.packed[:8]


def weights(candidates: Sequence[Candidate]) -> list[float]:
    """Answer with how likely each is to be next: ``64^(4 - failures) / n``, for ``n`` candidates in its bucket.

    So a bucket as a whole weighs what one address does, however many an attacker has in it.
    """
    buckets = [bucket_of(address.ip) for address, _ in candidates]
    crowd = Counter(buckets)
    return [
        FAILURE_FACTOR ** (MAX_FAILURES + 1 - failures) / crowd[bucket]
        for (_, failures), bucket in zip(candidates, buckets, strict=True)
    ]


def pick_order(candidates: Sequence[Candidate], rng: random.Random) -> list[NetAddress]:
    """Draw all candidates, one after another, each by its weight among those that are left.

    A race gives the same order as drawing does, in one pass: everyone arrives after an exponential time, at a rate that
    is his weight; whoever is first among any group is first with the probability of his share of the group's weight.

    Args:
        candidates: each address once.
        rng: where chance comes from.
    """
    arrivals = [rng.expovariate(weight) for weight in weights(candidates)]
    return [candidates[index][0] for index in sorted(range(len(candidates)), key=arrivals.__getitem__)]
