from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ziggurat.node.wire import p2p_pb2
from ziggurat.node.wire.convert.errors import MISSING, RANGE, ConversionError
from ziggurat.node.wire.convert.ghostdag import GhostdagData, ghostdag_data_from_wire, ghostdag_data_to_wire

PLAIN = GhostdagData(1, 2, b"p" * 32, (b"b" * 32,), (b"r" * 32,), ((b"b" * 32, 3),))


@settings(deadline=None)
@given(st.from_type(GhostdagData))
def test_it_comes_back(data: GhostdagData) -> None:
    message = p2p_pb2.GhostdagData.FromString(ghostdag_data_to_wire(data).SerializeToString())

    assert ghostdag_data_from_wire(message) == data


def test_blues_are_not_reds() -> None:
    message = ghostdag_data_to_wire(PLAIN)

    assert ([h.bytes for h in message.mergeSetBlues], [h.bytes for h in message.mergeSetReds]) == (
        [b"b" * 32],
        [b"r" * 32],
    )


def test_an_absent_hash_is_refused() -> None:
    message = ghostdag_data_to_wire(PLAIN)
    message.bluesAnticoneSizes[0].ClearField("blueHash")
    with pytest.raises(ConversionError, match=MISSING):
        ghostdag_data_from_wire(message)
    message = ghostdag_data_to_wire(PLAIN)
    message.ClearField("selectedParent")
    with pytest.raises(ConversionError, match=MISSING):
        ghostdag_data_from_wire(message)


def test_an_anticone_size_has_16_bits() -> None:
    message = ghostdag_data_to_wire(PLAIN)
    message.bluesAnticoneSizes[0].anticoneSize = 65536

    with pytest.raises(ConversionError, match=RANGE):
        ghostdag_data_from_wire(message)
