"""What the book knows of an address."""

from __future__ import annotations

from typing import NamedTuple

from ziggurat.node.address import AddressNetwork

__all__ = ["Record"]


class Record(NamedTuple):
    """An address's record.

    Attributes:
        failures: the failures since the last success, 0 to 3.
        told_by: the networks of the peers that told it. Only peers of these networks are told of it.
    """

    failures: int
    told_by: frozenset[AddressNetwork] = frozenset()
