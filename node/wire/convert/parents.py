"""The parents of a block, level by level, and their compressed form on the wire.

A block names parents for up to 255 levels, and most levels name the same. So a run of equal levels is
sent once, with the number of levels up to its end: ``[(3, a), (5, b)]`` is ``a a a b b``. (Peers before protocol
version 9, which the handshake refuses, sent an entry for each level.)

Levels of a run share one tuple, so that 255 levels cost little more than one, whatever a peer sends.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from ziggurat.node.wire.convert.errors import ConversionError
from ziggurat.node.wire.convert.hashes import hashes_from_wire, hashes_to_wire
from ziggurat.node.wire.convert.integers import unsigned
from ziggurat.node.wire.p2p_pb2 import BlockLevelParents

__all__ = ["MAX_LEVELS", "MAX_PARENTS", "Parents", "parents_from_wire", "parents_to_wire"]

Parents = tuple[tuple[bytes, ...], ...]

MAX_LEVELS = 255
MAX_PARENTS = MAX_LEVELS * 2048
"""Of all levels together, written out."""


def parents_from_wire(messages: Iterable[BlockLevelParents]) -> Parents:
    """Read parents into one tuple for each level.

    Raises:
        ConversionError: a hash is malformed, runs do not grow or are not maximal, or there is too much of it.
    """
    levels: list[tuple[bytes, ...]] = []
    total = 0
    for message in messages:
        end = unsigned(message.cumulativeLevel, 8)
        parents = hashes_from_wire(message.parentHashes)
        if end <= len(levels):
            raise ConversionError("Parents by level are not strictly increasing")
        if levels and levels[-1] == parents:
            raise ConversionError("CompressedParents contains two runs with the same parents")
        total += (end - len(levels)) * len(parents)
        if total > MAX_PARENTS:
            raise ConversionError("Parents by level size is too large")
        levels.extend([parents] * (end - len(levels)))
    return tuple(levels)


def parents_to_wire(parents: Parents) -> list[BlockLevelParents]:
    """Write parents.

    Raises:
        ConversionError: a hash is malformed, or there is too much of it.
    """
    if len(parents) > MAX_LEVELS:
        raise ConversionError("Parents by level exceeds maximum levels of 255")
    if sum(map(len, parents)) > MAX_PARENTS:
        raise ConversionError("Parents by level size is too large")
    entries: list[BlockLevelParents] = []
    end = 0
    for level, run in groupby(parents):
        end += sum(1 for _ in run)
        entries.append(BlockLevelParents(parentHashes=hashes_to_wire(level), cumulativeLevel=end))
    return entries
