"""What a node says about a block's place in the graph, during the initial download."""

from __future__ import annotations

from dataclasses import dataclass

from ziggurat.node.wire import p2p_pb2
from ziggurat.node.wire.convert.hashes import hash_from_wire, hash_to_wire, hashes_from_wire, hashes_to_wire
from ziggurat.node.wire.convert.integers import blue_work_from_wire, blue_work_to_wire, unsigned

__all__ = ["GhostdagData", "ghostdag_data_from_wire", "ghostdag_data_to_wire"]


@dataclass(frozen=True, slots=True)
class GhostdagData:
    """As it was sent. ``blues_anticone_sizes`` is a list of pairs: a hash, and a number of 16 bits."""

    blue_score: int
    blue_work: int
    selected_parent: bytes
    merge_set_blues: tuple[bytes, ...] = ()
    merge_set_reds: tuple[bytes, ...] = ()
    blues_anticone_sizes: tuple[tuple[bytes, int], ...] = ()


def ghostdag_data_from_wire(message: p2p_pb2.GhostdagData) -> GhostdagData:
    """Read it.

    Raises:
        ConversionError: a hash is absent or malformed, or a number out of range.
    """
    return GhostdagData(
        blue_score=message.blueScore,
        blue_work=blue_work_from_wire(message.blueWork),
        selected_parent=hash_from_wire(message.selectedParent, present=message.HasField("selectedParent")),
        merge_set_blues=hashes_from_wire(message.mergeSetBlues),
        merge_set_reds=hashes_from_wire(message.mergeSetReds),
        blues_anticone_sizes=tuple(
            (hash_from_wire(pair.blueHash, present=pair.HasField("blueHash")), unsigned(pair.anticoneSize, 16))
            for pair in message.bluesAnticoneSizes
        ),
    )


def ghostdag_data_to_wire(data: GhostdagData) -> p2p_pb2.GhostdagData:
    """Write it.

    Raises:
        ConversionError: a hash is malformed, or a number out of range.
    """
    return p2p_pb2.GhostdagData(
        blueScore=unsigned(data.blue_score, 64),
        blueWork=blue_work_to_wire(data.blue_work),
        selectedParent=hash_to_wire(data.selected_parent),
        mergeSetBlues=hashes_to_wire(data.merge_set_blues),
        mergeSetReds=hashes_to_wire(data.merge_set_reds),
        bluesAnticoneSizes=[
            p2p_pb2.BluesAnticoneSizes(blueHash=hash_to_wire(blue), anticoneSize=unsigned(size, 16))
            for blue, size in data.blues_anticone_sizes
        ],
    )
