from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ziggurat.node.wire import p2p_pb2
from ziggurat.node.wire.convert.errors import ConversionError
from ziggurat.node.wire.convert.version import Version, truncated_user_agent, version_from_wire, version_to_wire

PLAIN = Version(protocol_version=11, network="kaspa-simnet", id=bytes(range(16)))


@settings(deadline=None)
@given(st.from_type(Version))
def test_a_version_survives_a_round_trip(version: Version) -> None:
    message = p2p_pb2.VersionMessage.FromString(version_to_wire(version).SerializeToString())

    assert version_from_wire(message) == version


def test_none_becomes_an_absent_field_not_an_empty_one() -> None:
    message = version_to_wire(PLAIN)

    assert not message.HasField("address")
    assert not message.HasField("subnetworkId")


def test_an_address_that_is_present_and_empty_is_refused() -> None:
    message = version_to_wire(PLAIN)
    message.address.port = 16111

    with pytest.raises(ConversionError, match=r"^IP has illegal length 0$"):
        version_from_wire(message)


def test_a_subnetwork_id_that_is_present_and_empty_is_refused() -> None:
    message = version_to_wire(PLAIN)
    message.subnetworkId.SetInParent()

    with pytest.raises(ConversionError):
        version_from_wire(message)


@pytest.mark.parametrize("length", [0, 15, 17])
def test_an_id_of_another_length_is_refused_both_ways(length: int) -> None:
    message = version_to_wire(PLAIN)
    message.id = bytes(length)

    with pytest.raises(ConversionError, match=f"^invalid length: expected 16 bytes, found {length}$"):
        version_from_wire(message)
    with pytest.raises(ConversionError):
        version_to_wire(replace(PLAIN, id=bytes(length)))


@settings(deadline=None)
@given(st.text(max_size=400))
@example("x" + "é" * 200)
@example("€" * 100)
@example("😀" * 70)
def test_a_user_agent_is_cut_to_256_bytes_between_characters(text: str) -> None:
    cut = truncated_user_agent(text)

    assert text.startswith(cut)
    assert len(cut.encode()) <= 256
    # No whole character was lost.
    assert cut == text or len((cut + text[len(cut)]).encode()) > 256


def test_a_long_user_agent_is_cut_without_an_error() -> None:
    message = version_to_wire(PLAIN)
    message.userAgent = "x" + "é" * 200

    assert version_from_wire(message).user_agent == "x" + "é" * 127


def test_a_received_timestamp_is_not_checked_but_a_sent_one_is() -> None:
    message = version_to_wire(PLAIN)
    message.timestamp = -1

    assert version_from_wire(message).timestamp == -1
    with pytest.raises(ConversionError):
        version_to_wire(replace(PLAIN, timestamp=-1))


@pytest.mark.parametrize("field", ["protocol_version", "services"])
def test_a_number_that_does_not_fit_is_refused(field: str) -> None:
    with pytest.raises(ConversionError):
        version_to_wire(replace(PLAIN, **{field: 2**64}))
