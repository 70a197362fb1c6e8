"""What a message would cost is read from its bytes as protobuf would read them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import DecodeError, Message
from hypothesis import given, settings
from hypothesis import strategies as st

from ziggurat.node.wire import p2p_pb2 as p2p
from ziggurat.node.wire.cost import MESSAGE_COST, TooManyEntries, tally
from ziggurat.node.wire.p2p_pb2 import KaspadMessage


def varint(value: int) -> bytes:
    low = value & 0x7F
    return bytes([low | 0x80]) + varint(value >> 7) if value > 0x7F else bytes([low])


def payload(name: str, body: bytes) -> bytes:
    return varint(KaspadMessage.DESCRIPTOR.fields_by_name[name].number << 3 | 2) + varint(len(body)) + body


def entries_in(message: Message) -> int:
    """Count the elements of all lists in a decoded message."""
    found = 0
    for field, value in message.ListFields():
        values = list(value) if field.default_value == [] else [value]
        found += len(values) if field.default_value == [] else 0
        if field.message_type is not None:
            found += sum(map(entries_in, values))
    return found


SIMPLE: dict[int, st.SearchStrategy[Any]] = {
    3: st.integers(-(2**63), 2**63 - 1),  # by protobuf's number of the type
    4: st.integers(0, 2**64 - 1),
    8: st.booleans(),
    9: st.text(max_size=5),
    12: st.binary(max_size=3) | st.just(bytes(32)),
    13: st.integers(0, 2**32 - 1),
}


@st.composite
def messages(draw: st.DrawFn, kind: Any) -> Any:
    """Any message of a type, with some of its fields."""
    message = kind._concrete_class()
    fields = kind.fields
    if kind.name == "KaspadMessage":
        fields = [draw(st.sampled_from(list(kind.fields)))]
    for field in fields:
        if draw(st.booleans()):
            one = messages(field.message_type) if field.message_type is not None else SIMPLE[field.type]
            if field.default_value == []:
                getattr(message, field.name).extend(draw(st.lists(one, max_size=3)) * draw(st.integers(1, 12)))
            elif field.message_type is not None:
                getattr(message, field.name).CopyFrom(draw(one))
            else:
                setattr(message, field.name, draw(one))
    return message


@settings(deadline=None, max_examples=25)
@given(messages(KaspadMessage.DESCRIPTOR))
def test_the_count_is_that_of_the_decoded_message(message: KaspadMessage) -> None:
    assert tally(message.SerializeToString()).entries == entries_in(message)


fields = st.tuples(
    st.sampled_from([0, 1, 2, 3, 12, 14, 15, 20, 51, 101]),
    st.sampled_from([0, 1, 2, 2, 2, 3, 4, 5]),
    st.binary(max_size=8),
).map(lambda field: varint(field[0] << 3 | field[1]) + (varint(len(field[2])) if field[1] == 2 else b"") + field[2])
nested = st.recursive(
    fields,
    lambda inner: st.tuples(st.sampled_from([1, 2, 3, 12, 15, 51]), st.lists(inner, max_size=4).map(b"".join)).map(
        lambda field: varint(field[0] << 3 | 2) + varint(len(field[1])) + field[1]
    ),
)


@settings(deadline=None)
@given(st.binary(max_size=60) | st.lists(nested, max_size=6).map(b"".join))
def test_whatever_protobuf_decodes_is_counted_at_least_and_the_rest_is_a_decode_error(data: bytes) -> None:
    try:
        decoded = KaspadMessage.FromString(data)
    except DecodeError:
        try:
            tally(data)
        except DecodeError:
            pass
        return
    counted = tally(data)
    assert counted.entries >= entries_in(decoded)
    assert counted.fields <= len(data)
    assert counted.cost >= MESSAGE_COST + len(data)


@pytest.mark.parametrize("before", [0, 1, 7, 8, 9, 63, 64, 65, 200])
def test_a_row_of_equal_entries_ends_where_another_begins(before: int) -> None:
    ids = [p2p.TransactionId(bytes=bytes([number]) * 32) for number in range(before)]
    for other in (b"", b"short", bytes(33)):
        both = p2p.InvTransactionsMessage(ids=[*ids, p2p.TransactionId(bytes=other), *ids])
        counted = tally(KaspadMessage(invTransactions=both).SerializeToString())
        assert counted.entries == 2 * before + 1
        assert counted.fields <= 6


def test_numbers_in_lists_count_whether_packed_or_not() -> None:
    numbers = b"\x01\x80\x01\xff\xff\x03"  # 1, 128, 65535
    packed = payload("blockWithTrustedDataV4", b"\x12\x06" + numbers)
    apart = payload("blockWithTrustedDataV4", b"\x10\x01\x10\x80\x01\x10\xff\xff\x03")
    assert KaspadMessage.FromString(packed) == KaspadMessage.FromString(apart)
    assert tally(packed).entries == tally(apart).entries == 3


def test_counting_stops_at_each_limit() -> None:
    data = payload("requestRelayBlocks", b"\x0a\0" * 1000)
    assert tally(data, max_entries=1000).entries == 1000
    with pytest.raises(TooManyEntries, match=r"^more than 999 entries$"):
        tally(data, max_entries=999)
    with pytest.raises(TooManyEntries, match=r"^more than 9000 bytes of memory$"):
        tally(data, max_cost=9000)
    with pytest.raises(TooManyEntries, match=r"^more than 99 fields$"):
        tally(payload("ping", b"\x08\0" * 1000), max_fields=99)


MEASURE = """
import re, sys
from ziggurat.node.wire.cost import WORST_FACTOR, tally
from ziggurat.node.wire.p2p_pb2 import KaspadMessage
def resident():
    return 1024 * int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1])
kept = []
for line in sys.stdin:
    head, body = map(bytes.fromhex, line.split())
    before = resident()
    message = KaspadMessage.FromString(data := head + body * ((1 << 18) // len(body)))
    took = resident() - before - len(data)
    cost = tally(data).cost
    assert took <= min(cost, WORST_FACTOR * len(data)) + (1 << 17), (head.hex(), body.hex(), took, cost)
    kept.append(message)  # so that the next one needs memory of its own
"""

HOSTILE = {
    "headers": ("blockHeaders", b"\x0a\0"),
    "hashes": ("requestTransactions", b"\x0a\0"),
    "unknown fields in hashes": ("requestTransactions", b"\x0a\x02\x78\0"),
    "unknown fields between": ("requestTransactions", b"\x0a\x05\x78\0\x0a\x01\0"),
    "inputs": ("transaction", b"\x12\x02\x0a\0"),
    "outputs": ("transaction", b"\x1a\x06\x12\0\x1a\x02\x12\0"),
    "numbers": ("blockWithTrustedDataV4", b"\x10\0"),
    "levels": ("blockHeaders", b"\x0a\x06\x62\x02\x0a\0\x62\0"),
    "bytes that replace each other": ("transaction", b"\x42\x08" + bytes(8)),
}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="measures the resident set")
def test_the_cost_is_at_least_what_protobuf_takes() -> None:
    lines = []
    for name, body in HOSTILE.values():
        many = body * ((1 << 18) // len(body))
        lines.append(f"{payload(name, many)[: -len(many)].hex()} {body.hex()}\n")
    subprocess.run([sys.executable, "-c", MEASURE], input="".join(lines), text=True, check=True, timeout=60)
