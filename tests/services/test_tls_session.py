"""One TLS connection, sans-IO."""

from __future__ import annotations

import gc
import ssl
from itertools import pairwise
from pathlib import Path

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from tests.services.tls_peers import NAME, Forger, Peer, forging, record_lengths, serving, trusting
from ziggurat.services.tls_session import SLICE, TlsSession, slices

MANY = bytes(range(256)) * 4096  # 1 MiB


def new(context: ssl.SSLContext | None = None) -> TlsSession:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = (context or trusting()).wrap_bio(incoming, outgoing, server_hostname=NAME)
    return TlsSession(tls, incoming, outgoing)


def shake(session: TlsSession, peer: Peer) -> None:
    data = b""
    while not session.handshake(data):
        data = peer.feed(session.output())
    assert session.decrypt(peer.feed(session.output())) == b""  # session tickets


@pytest.fixture(params=["TLSv1.2", "TLSv1.3"])
def version(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def ends(version: str) -> tuple[TlsSession, Peer]:
    session, peer = new(trusting(version=ssl.TLSVersion[version.replace(".", "_")])), Peer(serving(tickets=2))
    shake(session, peer)
    assert session.ssl_object.version() == version
    return session, peer


def test_bytes_pass_both_ways(ends: tuple[TlsSession, Peer]) -> None:
    session, peer = ends
    for data in (b"x", bytearray(b"yy"), memoryview(b"zzz"), MANY):
        for part in slices(data):
            peer.feed(session.encrypt(part))
        assert session.decrypt(peer.records(data)) == bytes(data)
    assert peer.received == b"xyyzzz" + MANY
    assert session.output() == b""


@given(cuts=st.lists(st.integers(0, 70_000), max_size=12), sizes=st.lists(st.integers(1, 20_000), max_size=5))
def test_it_does_not_matter_how_the_received_bytes_are_cut(cuts: list[int], sizes: list[int]) -> None:
    session, peer = new(), Peer()
    shake(session, peer)
    records = b"".join(peer.records(MANY[:size]) for size in sizes)
    edges = sorted({0, len(records), *(cut for cut in cuts if cut < len(records))})

    received = b"".join(session.decrypt(records[start:end]) for start, end in pairwise(edges))

    assert received == b"".join(MANY[:size] for size in sizes)
    assert session.error is None


def test_the_handshake_works_byte_by_byte() -> None:
    session, peer = new(), Peer()
    done = session.handshake()
    while not done:
        for byte in peer.feed(session.output()):
            assert not done
            done = session.handshake(bytes([byte]))


def test_the_peers_close_notify_ends_it_and_we_can_still_send(ends: tuple[TlsSession, Peer]) -> None:
    session, peer = ends
    assert session.decrypt(peer.records(b"last words") + peer.close_notify()) == b"last words"
    assert session.ended
    assert session.error is None
    assert session.decrypt(b"anything") == b""
    assert not session._incoming.pending, "nothing piles up"

    peer.incoming.write(session.encrypt(b"answer"))
    assert peer.tls.read(100) == b"answer"


def test_our_close_notify_ends_our_side_only(ends: tuple[TlsSession, Peer]) -> None:
    session, peer = ends
    half = peer.records(b"before")
    assert session.decrypt(half[:10]) == b""  # OpenSSL holds part of a record when we close
    session.close()
    session.close()
    peer.feed(session.output())
    assert peer.ended
    assert session.closed
    assert session.decrypt(half[10:] + peer.records(b" and after")) == b"before and after"
    assert not session.ended
    session.decrypt(peer.close_notify())
    assert session.ended
    assert session.error is None


def test_bytes_before_a_bad_record_are_returned_and_the_peer_gets_an_alert(ends: tuple[TlsSession, Peer]) -> None:
    session, peer = ends
    good, bad, later = peer.records(b"good"), bytearray(peer.records(b"bad")), peer.records(b"later")
    bad[-1] ^= 1
    assert session.decrypt(good + bytes(bad) + later) == b"good"

    assert isinstance(session.error, ssl.SSLError)
    assert "bad record mac" in str(session.error).lower()
    assert not session.ended
    peer.feed(session.output())
    assert "BAD_RECORD_MAC" in str(peer.alert)
    assert session.decrypt(later) == b""


@pytest.mark.parametrize("size", [1, 5, 100, 5 + 16384 + 256 + 1])
def test_garbage_is_an_error_or_waits_for_more(ends: tuple[TlsSession, Peer], size: int) -> None:
    session, _ = ends
    assert session.decrypt(b"\xff" * size) == b""
    assert (session.error is None) == (size < 5)


def test_a_write_after_an_error_reports_the_error(ends: tuple[TlsSession, Peer]) -> None:
    session, _ = ends
    session.decrypt(b"\xff" * 100)
    session.output()
    session.encrypt(b"x")
    assert isinstance(session.error, ssl.SSLError)
    session.close()


def test_an_alert_after_the_handshake_is_the_error() -> None:
    session, peer = new(), Peer(serving(authority=trustme.CA()))
    data = b""
    while not session.handshake(data):
        data = peer.feed(session.output())
    assert session.error is None
    session.decrypt(peer.feed(session.output()))
    assert "CERTIFICATE_REQUIRED" in str(session.error)
    assert session.error is not None
    assert session.error.__traceback__ is None


@pytest.mark.parametrize("request_ours", [False, True])
def test_a_key_update_is_answered_and_loses_nothing(tmp_path: Path, request_ours: bool) -> None:
    session, peer = new(), Peer(forging(tmp_path / "keys"))
    shake(session, peer)
    forger = Forger(tmp_path / "keys")
    for round_trip in (b"1", b"2", b"3"):
        before = session.encrypt(b"with the old key " + round_trip)
        records = forger.record(b"before") + forger.key_update(request=request_ours) + forger.record(b" after")
        assert session.decrypt(records) == b"before after"
        after = session.encrypt(b"with the new key " + round_trip)  # with our KeyUpdate, if asked for
        assert len(record_lengths(after)) == 1 + request_ours
        peer.received.clear()
        peer.feed(before + after)
        assert peer.alert is None
        assert peer.received == b"with the old key %bwith the new key %b" % (round_trip, round_trip)


def test_it_proves_who_it_is_when_asked_after_the_handshake() -> None:
    authority = trustme.CA()
    context = trusting()
    authority.issue_cert("client.example").configure_cert(context)
    context.post_handshake_auth = True
    asking = serving()
    authority.configure_trust(asking)
    asking.verify_mode, asking.post_handshake_auth = ssl.CERT_REQUIRED, True
    session, peer = new(context), Peer(asking)
    shake(session, peer)
    assert session.decrypt(peer.feed(session.output())) == b""
    peer.tls.verify_client_post_handshake()

    assert session.decrypt(peer.records(b"who are you?")) == b"who are you?"
    assert peer.tls.getpeercert() is None
    peer.feed(session.output())
    assert peer.tls.getpeercert()


def test_close_during_the_handshake_is_quiet() -> None:
    session = new()
    assert not session.handshake()
    session.close()
    assert session.closed


def test_a_dropped_session_leaves_no_cycle(ends: tuple[TlsSession, Peer]) -> None:
    gc.collect()
    gc.disable()
    try:
        session, peer = new(), Peer()
        shake(session, peer)
        session.decrypt(b"\xff" * 100)
        del session, peer
        assert gc.collect() == 0
    finally:
        gc.enable()


@pytest.mark.parametrize("size", [0, 1, SLICE, SLICE + 1, 3 * SLICE])
def test_slices_add_up(size: int) -> None:
    parts = list(slices(MANY[:size]))
    assert b"".join(parts) == MANY[:size]
    assert all(len(part) <= SLICE for part in parts)
    assert all(parts) or parts == [b""]
