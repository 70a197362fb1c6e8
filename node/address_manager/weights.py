"""In which order to try what is known: at random, the proven first, and no neighbourhood too often."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping

from ziggurat.node.address_manager.bucket import bucket_of
from ziggurat.node.net_address import NetAddress

__all__ = ["BASE", "MAX_FAILURES", "pick_order", "weights"]

MAX_FAILURES = 3
"""An address that fails once more is forgotten."""

BASE = 64
"""One failure less makes an address so many times as likely."""


def weights(candidates: Mapping[NetAddress, int]) -> dict[NetAddress, float]:
    """Answer with how likely each is to be next: ``64^(4 - failures) / n``, for ``n`` candidates in its bucket.

    So a bucket as a whole weighs what one address does, however many an attacker has in it.

    Args:
        candidates: failures in a row, 0 to 3, of each address.
    """
    buckets = {address: bucket_of(address.ip) for address in candidates}
    crowd = Counter(buckets.values())
    return {
        address: BASE ** (MAX_FAILURES + 1 - failures) / crowd[buckets[address]]
        for address, failures in candidates.items()
    }


def pick_order(candidates: Mapping[NetAddress, int], rng: random.Random) -> list[NetAddress]:
    """Draw all candidates, one after another, each by its weight among those that are left.

    A race gives the same order as drawing does, in one pass: everyone arrives after an exponential time, at a rate that
    is his weight; whoever is first among any group is first with the probability of his share of the group's weight.

    Args:
        candidates: failures in a row of each address.
        rng: where chance comes from.
    """
    arrival = {address: rng.expovariate(weight) for address, weight in weights(candidates).items()}
    return sorted(arrival, key=arrival.__getitem__)
