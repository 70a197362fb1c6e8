"""Header blocks of any encoder are read (RFC 7541), the tables stay in step, and nothing grows without bound."""

from __future__ import annotations

import pytest
from hpack import Encoder
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.services.http2.peers import RESPONSE_FIELDS, secret
from ziggurat.services.http2 import ErrorCode, RemoteProtocolError
from ziggurat.services.http2.header_reader import EXCESS, REMEMBERED_BLOCKS, HeaderReader

NAMES = st.sampled_from([b"a", b"content-type", b"grpc-status", b"x" * 50, *(b"n%d" % i for i in range(6))])
VALUES = st.sampled_from([b"", b"0", b"application/grpc", b"v" * 700, *(b"%d" % i for i in range(6))])
LISTS = st.lists(st.tuples(NAMES, VALUES, st.booleans()), max_size=8)
SIZES = st.one_of(st.none(), st.integers(0, 4096))


def read(reader: HeaderReader, block: bytes) -> list[tuple[bytes, bytes]]:
    section = reader.read(block)
    assert section.fault is None
    return list(section.fields)


@given(st.lists(st.tuples(LISTS, SIZES, st.booleans()), max_size=6))
@settings(max_examples=60)
def test_what_another_encoder_writes_is_read_back(
    sections: list[tuple[list[tuple[bytes, bytes, bool]], int | None, bool]],
) -> None:
    """With evictions, new sizes of the table, Huffman's code or not, and secrets (RFC 7541 4, 5.2, 6)."""
    encoder, reader = Encoder(), HeaderReader(1 << 20)
    for fields, size, huffman in sections * 2:  # so that blocks come again, behind others
        if size is not None:
            encoder.header_table_size = size
        block = encoder.encode(
            [secret(name, value) if is_secret else (name, value) for name, value, is_secret in fields], huffman=huffman
        )

        assert read(reader, block) == [(name, value) for name, value, _ in fields]


def test_a_block_that_comes_again_is_the_same_section() -> None:
    encoder, reader = Encoder(), HeaderReader(10_000)
    reader.read(encoder.encode(list(RESPONSE_FIELDS)))
    block = encoder.encode(list(RESPONSE_FIELDS))

    assert reader.read(block) is reader.read(block)


@pytest.mark.parametrize(
    "change",
    [
        b"\x40\x01x\x01y",  # an entry in front of the others
        b"\x20",  # a table of 0 bytes
        b"\x3f\x09",  # one of 40, in which one entry has room
    ],
)
def test_a_block_that_was_remembered_means_something_else_once_the_table_has_changed(change: bytes) -> None:
    """RFC 7541 2.3.3: an index counts from the newest entry."""
    reader = HeaderReader(10_000)
    reader.read(b"\x40\x01a\x01b" + b"\x40\x01c\x01d")
    assert read(reader, b"\xbf") == [(b"a", b"b")]
    assert read(reader, b"\xbf") == [(b"a", b"b")]

    reader.read(change)

    if change[0] == 0x40:
        assert read(reader, b"\xbf") == [(b"c", b"d")]
    else:
        with pytest.raises(RemoteProtocolError):
            reader.read(b"\xbf")


def test_an_entry_that_is_larger_than_the_table_empties_it() -> None:
    """RFC 7541 4.4."""
    reader = HeaderReader(10_000)
    reader.read(b"\x40\x01a\x01b")
    reader.read(b"\xbe")

    reader.read(b"\x40\x01a\x7f\xa1\x1f" + bytes(4128))

    with pytest.raises(RemoteProtocolError):
        reader.read(b"\xbe")


@pytest.mark.parametrize(
    ("block", "what"),
    [
        (b"\x80", "index 0 (6.1)"),
        (b"\xbe", "an index beyond the tables (2.3.3)"),
        (b"\xff\xff\xff\xff\xff\xff\x7f", "an integer that is too large (5.1)"),
        (b"\xff\x80\x80\x80\x80\x80\x80\x01", "an integer with many zeros (5.1)"),
        (b"\xff", "an integer that is cut off"),
        (b"\x40", "a name that is cut off"),
        (b"\x40\x01a", "a value that is cut off"),
        (b"\x40\x01a\x05abc", "a string that is cut off (5.2)"),
        (b"\x3f\xe2\x1f", "a table of more than we announced (6.3)"),
        (b"\x88\x20", "a size update behind a field (4.2)"),
        (b"\x40\x81\xff\x01b", "padding of Huffman's code that is too long (5.2)"),
        (b"\x40\x84\xff\xff\xff\xff\x01b", "the EOS symbol (5.2)"),
        (b"\x40\x81\x00\x01b", "padding of Huffman's code that is not of ones (5.2)"),
        (b"\x20" * 100, "more new sizes of the table than anybody needs (4.2)"),
    ],
)
def test_a_block_that_is_no_hpack_is_a_compression_error(block: bytes, what: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        HeaderReader(10_000).read(block)

    assert caught.value.code is ErrorCode.COMPRESSION_ERROR, what


@given(st.binary(max_size=60))
def test_any_bytes_are_a_section_or_a_compression_error(block: bytes) -> None:
    reader = HeaderReader(100_000)
    reader.read(b"\x40\x01a\x01b")
    code: ErrorCode | None = None
    try:
        reader.read(block)
    except RemoteProtocolError as error:
        code = error.code

    assert code in (None, ErrorCode.COMPRESSION_ERROR)


def size_of(fields: list[tuple[bytes, bytes]]) -> int:
    return sum(len(name) + len(value) + 32 for name, value in fields)


@given(
    st.lists(st.tuples(NAMES, st.integers(0, 300).map(lambda size: b"v" * size)), min_size=1, max_size=12),
    st.integers(30, 400),
)
@settings(max_examples=50)
def test_a_list_beyond_the_limit_has_a_fault_and_the_tables_stay_in_step(
    fields: list[tuple[bytes, bytes]], limit: int
) -> None:
    """RFC 9113 10.5.1, 4.3: up to four times the limit."""
    encoder, reader = Encoder(), HeaderReader(limit)
    size = size_of(fields)
    block = encoder.encode(fields)
    if size > EXCESS * limit:
        with pytest.raises(RemoteProtocolError) as caught:
            reader.read(block)
        assert caught.value.code is ErrorCode.ENHANCE_YOUR_CALM
        return

    section = reader.read(block)
    assert (section.fault is None) is (size <= limit)
    assert size_of(list(section.fields)) <= limit
    assert list(section.fields) == fields[: len(section.fields)]

    # Indexed now, wherever they are in the table.
    last = fields[-1:]
    if size_of(last) <= limit:
        assert read(reader, encoder.encode(last)) == last


def test_the_memory_for_blocks_is_bounded() -> None:
    reader = HeaderReader(100_000)
    for number in range(1000):
        reader.read(b"\x00\x01a\x04%04d" % number)
        reader.read(b"\x00\x01a\x7f\x81\x0f" + b"%04d" % number + bytes(2044))

    assert len(reader.known) == REMEMBERED_BLOCKS
    assert max(map(len, reader.known)) <= 1024


def test_the_table_that_we_announce_is_hpacks_default() -> None:
    """RFC 7541 4.2: our SETTINGS do not change it, so neither may we."""
    assert HeaderReader(100)._table.max_size == 4096
