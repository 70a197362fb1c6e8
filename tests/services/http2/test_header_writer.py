"""What we write, another decoder reads (RFC 7541); blocks are made once, and secrets are not indexed."""

from __future__ import annotations

import pytest
from hpack import Decoder
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.services.http2.peers import NOTHING, REQUEST, REQUEST_FIELDS, RESPONSE, TRAILERS
from ziggurat.services.http2 import HeaderTemplate
from ziggurat.services.http2.header_writer import HeaderWriter

TEMPLATES = [
    REQUEST,
    RESPONSE,
    TRAILERS,
    NOTHING,
    HeaderTemplate(((b":status", b"200"), (b"content-type", b"application/grpc"), (b"big", b"x" * 3000))),
    HeaderTemplate(((b"big", b"y" * 2000), (b"authorization", b"secret"), (b"big", b"y" * 2000))),
    HeaderTemplate(tuple((b"n%d" % i, b"v" * 20) for i in range(80))),
]
NAMES = st.sampled_from([b"a", b"grpc-timeout", b"cookie", b"te", b"user-agent", *(b"n%d" % i for i in range(10))])
VALUES = st.one_of(st.sampled_from([b"", b"trailers", b"v" * 20, b"x" * 900, b"z" * 1100]), st.binary(max_size=3))
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=5)
CALLS = st.lists(
    st.tuples(st.sampled_from(TEMPLATES), FIELDS, FIELDS, st.sampled_from([None, None, None, 0, 50, 500, 4096, 9000])),
    max_size=12,
)


def decode(decoder: Decoder, block: bytes) -> list[tuple[bytes, bytes]]:
    return [(bytes(name), bytes(value)) for name, value in decoder.decode(block, raw=True)]


@given(CALLS)
@settings(max_examples=60)
def test_what_we_write_is_read_back_by_another_decoder(
    calls: list[tuple[HeaderTemplate, list[tuple[bytes, bytes]], list[tuple[bytes, bytes]], int | None]],
) -> None:
    """With full tables and with new sizes of the peer's (RFC 7541 4.2, 4.3)."""
    writer, decoder = HeaderWriter(), Decoder(max_header_list_size=1 << 20)
    for template, own, fresh, size in calls * 2:
        if size is not None:
            writer.resize(size)
            # The peer's decoder enforces what it announced, and insists on hearing of less (RFC 7541 4.2).
            decoder.max_allowed_table_size = size

        fields = decode(decoder, writer.write(template, own, fresh))

        assert fields == [*template.fields, *fresh, *own]
        assert decoder.header_table._current_size <= 4096


def test_a_block_is_made_once_for_each_template() -> None:
    writer = HeaderWriter()
    writer.write(REQUEST)
    block = writer.write(REQUEST)

    assert writer.write(REQUEST) is block
    assert len(block) < len(REQUEST_FIELDS) + 2  # indices only


def test_a_block_is_made_again_when_the_table_has_grown() -> None:
    """RFC 7541 2.3.3: its indices have moved on."""
    writer, decoder = HeaderWriter(), Decoder()
    for template in (REQUEST, REQUEST, RESPONSE, REQUEST, RESPONSE, REQUEST):
        assert decode(decoder, writer.write(template)) == list(template.fields)


def test_a_callers_own_field_is_entered_when_it_comes_for_the_second_time() -> None:
    writer = HeaderWriter()
    sizes = [len(writer.write(NOTHING, [(b"x-token", b"0123456789")])) for _ in range(4)]

    assert sizes == [20, 20, 1, 1]
    assert [len(writer.write(NOTHING, (), [(b"x-time", b"0123456789")])) for _ in range(3)] == [19, 19, 19]


@pytest.mark.parametrize("name", [b"authorization", b"proxy-authorization", b"cookie"])
def test_secrets_are_never_indexed(name: bytes) -> None:
    """RFC 7541 7.1.3, 6.2.3."""
    writer, decoder = HeaderWriter(), Decoder()
    for _ in range(3):
        for block in (
            writer.write(HeaderTemplate(((name, b"secret"),))),
            writer.write(NOTHING, [(name, b"secret")]),
            writer.write(NOTHING, (), [(name, b"secret")]),
        ):
            (field,) = decoder.decode(block, raw=True)
            assert not field.indexable
            assert block[0] & 0xF0 == 0x10


def test_the_table_never_holds_more_than_the_peer_lets_it() -> None:
    """RFC 7541 4.1, 4.2."""
    writer, decoder = HeaderWriter(), Decoder()
    writer.resize(100)
    decoder.max_allowed_table_size = 100
    for number in range(50):
        decoder.decode(writer.write(HeaderTemplate(((b"n%d" % number, b"v"),))))

    assert decoder.header_table.maxsize == 100
    assert len(decoder.header_table.dynamic_entries) == 100 // 36


def test_a_table_of_0_bytes_is_announced_and_used_no_more() -> None:
    """RFC 7541 4.2."""
    writer, decoder = HeaderWriter(), Decoder()
    decoder.decode(writer.write(REQUEST))
    writer.resize(0)

    assert decode(decoder, writer.write(REQUEST)) == list(REQUEST_FIELDS)
    assert decoder.header_table.maxsize == 0
    assert writer.write(REQUEST) == writer.write(REQUEST)


def test_a_size_that_changes_twice_is_announced_from_its_least() -> None:
    """RFC 7541 4.2."""
    writer = HeaderWriter()
    writer.resize(100)
    writer.resize(4096)

    assert writer.write(NOTHING) == b"\x20\x3f\xe1\x1f"
    assert writer.write(NOTHING) == b""


def test_more_than_4096_bytes_are_not_used() -> None:
    writer = HeaderWriter()
    writer.resize(1 << 20)

    assert writer.write(NOTHING) == b""


def test_what_is_remembered_is_bounded() -> None:
    """A program may make a template for each call, or send other metadata with each."""
    writer = HeaderWriter()
    writer.write(RESPONSE)
    for number in range(2000):
        writer.write(HeaderTemplate(((b":status", b"200"),)), [(b"x", b"%d" % number)])

    assert len(writer.known) <= 512
    assert len(writer._seen) <= 64


def test_64_kb_of_metadata_are_copied_and_not_compressed() -> None:
    """hpack's encoder would take 0.3 s for them."""
    value = bytes(range(256)) * 256
    block = HeaderWriter().write(NOTHING, [(b"x-bin", value)])

    assert block.endswith(value)
    assert len(block) < len(value) + 12
