"""The parents of a block, level by level, and their compressed form on the wire.

A block has parents on up to 255 levels, and most levels have the same ones. So a run of equal levels is sent once, with
the number of levels up to its end: ``[(3, a), (5, b)]`` is ``a a a b b``. (Before protocol version 9, which the
handshake refuses, peers sent an entry for each level.)

The levels of a run share one tuple, so that 255 levels take little more memory than one.
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
"""Parents on all levels together, uncompressed."""


def parents_from_wire(messages: Iterable[BlockLevelParents]) -> Parents:
    """Convert parents to one tuple for each level.

    Raises:
        ConversionError: a hash is malformed, the ends of the runs do not increase, adjacent runs are equal, or there
            are too many levels or parents.
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
    """Convert parents to messages, one for each run of equal levels.

    Raises:
        ConversionError: a hash is malformed, or there are too many levels or parents.
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
