from __future__ import annotations

import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ziggurat.node.wire.convert.errors import ConversionError
from ziggurat.node.wire.convert.hashes import hashes_to_wire
from ziggurat.node.wire.convert.parents import MAX_PARENTS, Parents, parents_from_wire, parents_to_wire
from ziggurat.node.wire.p2p_pb2 import BlockLevelParents, Hash

A, B = (b"a" * 32,), (b"b" * 32, b"a" * 32)


def run(end: int, level: tuple[bytes, ...]) -> BlockLevelParents:
    return BlockLevelParents(cumulativeLevel=end, parentHashes=hashes_to_wire(level))


levels = st.lists(
    st.sampled_from([(), A, B]) | st.lists(st.binary(min_size=32, max_size=32), max_size=2).map(tuple), max_size=255
).map(tuple)


@settings(deadline=None)
@given(levels)
def test_parents_survive_a_round_trip(parents: Parents) -> None:
    assert parents_from_wire(parents_to_wire(parents)) == parents


@settings(deadline=None)
@given(levels)
def test_run_ends_increase_and_adjacent_runs_differ(parents: Parents) -> None:
    entries = parents_to_wire(parents)
    ends = [entry.cumulativeLevel for entry in entries]

    assert ends == sorted(set(ends))
    assert (ends[-1] if ends else 0) == len(parents)
    assert all(a.parentHashes != b.parentHashes for a, b in pairwise(entries))


def test_a_run_carries_the_number_of_levels_up_to_its_end() -> None:
    assert parents_to_wire((A, A, A, B, B)) == [run(3, A), run(5, B)]
    assert parents_from_wire([run(3, A), run(5, B)]) == (A, A, A, B, B)


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ([run(0, A)], "not strictly increasing"),
        ([run(2, A), run(2, B)], "not strictly increasing"),
        ([run(3, A), run(2, B)], "not strictly increasing"),
        ([run(1, A), run(2, A)], "two runs with the same parents"),
        ([run(256, A)], "Integer parsing error"),
        ([BlockLevelParents(cumulativeLevel=1, parentHashes=[Hash(bytes=b"short")])], "Bytes size mismatch"),
    ],
)
def test_a_malformed_list_of_runs_is_refused(entries: list[BlockLevelParents], reason: str) -> None:
    with pytest.raises(ConversionError, match=reason):
        parents_from_wire(entries)


def test_more_than_255_levels_are_not_sent() -> None:
    with pytest.raises(ConversionError, match="exceeds maximum levels of 255"):
        parents_to_wire((A,) * 256)


def test_too_many_parents_are_refused_both_ways_even_if_compressed() -> None:
    many = A * 2049

    with pytest.raises(ConversionError, match="size is too large"):
        parents_from_wire([run(255, many)])
    with pytest.raises(ConversionError, match="size is too large"):
        parents_to_wire((many,) * 255)
    assert sum(map(len, parents_from_wire([run(255, A * 2048)]))) == MAX_PARENTS


def test_a_run_of_255_levels_is_stored_once() -> None:
    entries = [run(255, A * 2048)]
    tracemalloc.start()
    try:
        parents = parents_from_wire(entries)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(parents) == 255
    assert held < 1_000_000  # 255 copies would hold 4 MB of pointers alone, and 17 MB of hashes
