"""The state table, both sides against each other, and every way for a handshake to fail."""

from __future__ import annotations

import dataclasses
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.node.handshake.handshake import (
    INBOUND_LIMITS,
    OUTBOUND_LIMITS,
    TRANSITIONS,
    Handshake,
    HandshakeLimits,
    Rules,
    State,
)
from ziggurat.node.handshake.identity import NodeIdentity
from ziggurat.node.handshake.rejection import HandshakeError, HandshakeTimeout, Kind
from ziggurat.node.wire import p2p_pb2 as p2p
from ziggurat.node.wire.convert.version import Version
from ziggurat.node.wire.p2p_pb2 import KaspadMessage

OURS = NodeIdentity("kaspa-devnet", user_agent="/ours:1/", id=b"o" * 16).version(timestamp=1)
THEIRS = NodeIdentity("kaspa-devnet", user_agent="/theirs:1/", id=b"t" * 16).version(timestamp=2)
VERACK, READY = KaspadMessage(verack=p2p.VerackMessage()), KaspadMessage(ready=p2p.ReadyMessage())


def hello(version: Version = THEIRS) -> KaspadMessage:
    return Handshake(version, OUTBOUND_LIMITS).begin(0.0)[0]


def names(messages: list[KaspadMessage]) -> list[str | None]:
    return [message.WhichOneof("payload") for message in messages]


def refused(theirs: Version | KaspadMessage, ours: Version = OURS, rules: Rules | None = None) -> HandshakeError:
    shake = Handshake(ours, OUTBOUND_LIMITS, rules)
    shake.begin(0.0)
    message = theirs if isinstance(theirs, KaspadMessage) else hello(theirs)
    assert names(shake.receive(message, 0.0)) == ["verack"]  # the peer gets our Verack even if we refuse it
    with pytest.raises(HandshakeError) as caught:
        shake.receive(VERACK, 0.0)
    return caught.value


@given(st.lists(st.booleans(), max_size=40))
def test_the_handshake_completes_in_whatever_order_messages_travel(turns: list[bool]) -> None:
    """Run two handshakes with a queue in each direction; the draws say which queue delivers next."""
    sides = [Handshake(OURS, OUTBOUND_LIMITS), Handshake(THEIRS, INBOUND_LIMITS)]
    queues = [sides[1].begin(0.0), sides[0].begin(0.0)]  # the messages for side 0 and for side 1
    draws = iter(turns)
    while queues[0] or queues[1]:
        side = int(next(draws, not queues[0]))
        if not queues[side]:
            continue
        shake = sides[side]
        queues[1 - side] += shake.receive(queues[side].pop(0), 1.0)
        if shake.state is State.AGREED:
            queues[1 - side] += shake.announce(1.0)
    assert [shake.state for shake in sides] == [State.READY] * 2
    assert sides[0].peer == THEIRS
    assert sides[1].peer == OURS
    assert [shake.deadline for shake in sides] == [None, None]


def test_the_usual_sequence_of_messages() -> None:
    shake = Handshake(OURS, OUTBOUND_LIMITS)

    assert names(shake.begin(0.0)) == ["version"]
    assert names(shake.receive(hello(), 0.0)) == ["verack"]
    assert shake.receive(VERACK, 0.0) == []
    assert shake.state is State.AGREED
    assert names(shake.announce(0.0)) == ["ready"]
    assert shake.receive(READY, 0.0) == []
    assert shake.state is State.READY


def test_a_verack_may_overtake_the_version() -> None:
    shake = Handshake(OURS, OUTBOUND_LIMITS)
    shake.begin(0.0)

    assert shake.receive(VERACK, 0.0) == []
    assert shake.state is State.ACKNOWLEDGED
    assert names(shake.receive(hello(), 0.0)) == ["verack"]
    assert shake.state is State.AGREED


EVERY = {"version": hello(), "verack": VERACK, "ready": READY, "ping": KaspadMessage(ping=p2p.PingMessage())}
PATHS = {
    State.GREETING: [],
    State.INTRODUCED: [hello()],
    State.ACKNOWLEDGED: [VERACK],
    State.ANNOUNCED: [hello(), VERACK],
    State.READY: [hello(), VERACK, READY],
}


@pytest.mark.parametrize(("state", "payload"), list(product(PATHS, EVERY)))
def test_a_message_not_in_the_table_is_unexpected(state: State, payload: str) -> None:
    shake = Handshake(OURS, OUTBOUND_LIMITS)
    shake.begin(0.0)
    for message in PATHS[state]:
        shake.receive(message, 0.0)
        if shake.state is State.AGREED:
            shake.announce(0.0)
    assert shake.state is state

    if (state, payload) in TRANSITIONS:
        shake.receive(EVERY[payload], 0.0)
        assert shake.state is TRANSITIONS[state, payload]
    else:
        with pytest.raises(HandshakeError, match=f"but got {payload}") as caught:
            shake.receive(EVERY[payload], 0.0)
        assert caught.value.kind is Kind.UNEXPECTED
        assert caught.value.reject == caught.value.reason


def test_every_state_of_the_table_is_reached_and_left() -> None:
    assert {state for state, _ in TRANSITIONS} | {State.AGREED} == set(State) - {State.READY}
    assert set(TRANSITIONS.values()) | {State.GREETING, State.ANNOUNCED} == set(State)


def test_a_message_without_a_payload_is_unexpected() -> None:
    shake = Handshake(OURS, OUTBOUND_LIMITS)
    shake.begin(0.0)
    with pytest.raises(HandshakeError, match="but got nothing"):
        shake.receive(KaspadMessage(), 0.0)


def test_announce_is_refused_before_agreed() -> None:
    shake = Handshake(OURS, OUTBOUND_LIMITS)
    with pytest.raises(RuntimeError, match="cannot announce"):
        shake.announce(0.0)


def change(**fields: object) -> Version:
    return dataclasses.replace(THEIRS, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("theirs", "kind", "reason"),
    [
        (change(id=OURS.id), Kind.SELF, "LOOPBACK_CONNECTION"),
        (
            change(network="kaspa-mainnet"),
            Kind.NETWORK,
            "Network mismatch - local: kaspa-devnet, remote: kaspa-mainnet",
        ),
        (change(network="Kaspa-devnet"), Kind.NETWORK, "Network mismatch - local: kaspa-devnet, remote: Kaspa-devnet"),
        (change(protocol_version=9), Kind.VERSION, "P2P protocol version mismatch - local: 11, remote: 9"),
    ],
)
def test_an_incompatible_peer_is_rejected_with_kaspads_text(theirs: Version, kind: Kind, reason: str) -> None:
    error = refused(theirs)

    assert (error.kind, error.reason, error.reject) == (kind, reason, reason)
    assert not error.by_peer
    assert error.protocol_error
    assert not error.transient


@pytest.mark.parametrize("version", [10, 11, 12, 2**32 - 1])
def test_newer_protocol_versions_are_accepted(version: int) -> None:
    shake = Handshake(OURS, OUTBOUND_LIMITS)
    shake.begin(0.0)
    shake.receive(hello(change(protocol_version=version)), 0.0)
    shake.receive(VERACK, 0.0)
    assert shake.state is State.AGREED


def test_rules_are_called_with_the_peers_values() -> None:
    error = refused(THEIRS, rules=Rules(is_duplicate=lambda id: id == b"t" * 16))
    assert (error.kind, error.reject, error.transient) == (Kind.DUPLICATE, "DUPLICATE_CONNECTION", True)
    error = refused(THEIRS, rules=Rules(refuses_user_agent=lambda agent: agent == "/theirs:1/"))
    assert (error.kind, error.reject) == (Kind.USER_AGENT, "peer user agent rejected: /theirs:1/")
    error = refused(THEIRS, rules=Rules(is_banned=lambda id: id == b"t" * 16))
    assert (error.kind, error.reject) == (Kind.BANNED, "peer is banned")


def test_checks_are_made_in_kaspads_order() -> None:
    everything = change(id=OURS.id, network="x", protocol_version=1)
    rules = Rules(is_duplicate=lambda _: True, refuses_user_agent=lambda _: True)

    assert refused(everything, rules=rules).kind is Kind.DUPLICATE
    assert refused(everything).kind is Kind.SELF
    assert refused(change(network="x", protocol_version=1)).kind is Kind.NETWORK
    refuses = Rules(refuses_user_agent=lambda _: True)
    assert refused(change(protocol_version=1), rules=refuses).kind is Kind.USER_AGENT


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (p2p.VersionMessage(id=b"short"), "invalid length: expected 16 bytes, found 5"),
        (p2p.VersionMessage(id=bytes(16), address=p2p.NetAddress()), "IP has illegal length 0"),
    ],
)
def test_a_malformed_version_is_rejected(message: p2p.VersionMessage, reason: str) -> None:
    error = refused(KaspadMessage(version=message))
    assert (error.kind, error.reject) == (Kind.MALFORMED, reason)


def test_a_reject_from_the_peer_is_not_answered() -> None:
    shake = Handshake(OURS, OUTBOUND_LIMITS)
    shake.begin(0.0)
    with pytest.raises(HandshakeError) as caught:
        shake.receive(KaspadMessage(reject=p2p.RejectMessage(reason="DUPLICATE_CONNECTION")), 0.0)
    assert caught.value.kind is Kind.DUPLICATE
    assert caught.value.by_peer
    assert caught.value.reject is None


@pytest.mark.parametrize(
    ("said", "name", "limit"), [([], "Version", 30.0), ([hello()], "Verack", 4.0), ([hello(), VERACK], "Ready", 8.0)]
)
def test_each_step_has_its_own_time_limit(said: list[KaspadMessage], name: str, limit: float) -> None:
    shake = Handshake(OURS, OUTBOUND_LIMITS)
    shake.begin(100.0)
    for message in said:
        shake.receive(message, 110.0)
    if shake.state is State.AGREED:
        shake.announce(110.0)
    start = 100.0 if name == "Version" else 110.0

    assert shake.deadline == start + limit
    error = shake.overdue()
    assert isinstance(error, HandshakeTimeout)
    assert (error.name, error.limit, error.kind) == (name, limit, Kind.TIMEOUT)
    assert error.reject == f"timeout expired after {limit:g}s"
    assert error.transient
    assert not error.protocol_error
    assert isinstance(error, TimeoutError)


def test_an_inbound_peer_has_ten_seconds_for_its_version() -> None:
    shake = Handshake(OURS, INBOUND_LIMITS)
    shake.begin(0.0)
    assert shake.deadline == 10.0


def test_limits_must_be_positive() -> None:
    with pytest.raises(ValueError, match="verack must be a positive number of seconds, not 0"):
        HandshakeLimits(1.0, verack=0)
