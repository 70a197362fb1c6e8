"""RFC 7541 2.3 and 4, with hpack's table as the oracle."""

from __future__ import annotations

import pytest
from hpack.exceptions import InvalidTableIndexError
from hpack.table import HeaderTable as HpackTable
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.services.http2.header_table import STATIC_TABLE, HeaderTable

FIELDS = st.tuples(st.binary(max_size=30), st.binary(max_size=60) | st.integers(0, 5000).map(bytes))


@given(st.lists(FIELDS | st.integers(0, 4096), max_size=60))
def test_it_holds_what_hpacks_holds(steps: list[tuple[bytes, bytes] | int]) -> None:
    ours, theirs = HeaderTable(), HpackTable()
    for step in steps:
        if isinstance(step, int):
            ours.resize(step)
            theirs.maxsize = step
        else:
            ours.add(step)
            theirs.add(*step)
        assert ours._entries[::-1] == list(theirs.dynamic_entries)
    for index in range(1, len(STATIC_TABLE) + len(theirs.dynamic_entries) + 1):
        assert ours[index] == theirs.get_by_index(index)


@pytest.mark.parametrize("index", [0, -1, 62, 2**31])
def test_an_index_without_an_entry_is_an_error(index: int) -> None:
    with pytest.raises(InvalidTableIndexError):
        HeaderTable()[index]


def test_a_field_that_is_too_large_empties_the_table() -> None:
    table = HeaderTable()
    table.add((b"a", b"1"))
    assert table[62] == (b"a", b"1")
    table.add((b"b", bytes(5000)))
    with pytest.raises(InvalidTableIndexError):
        table[62]
