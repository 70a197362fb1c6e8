from __future__ import annotations

import copy

import pytest

from ziggurat.node.handshake import rejection
from ziggurat.node.handshake.rejection import HandshakeError, HandshakeTimeout, Kind, kind_of
from ziggurat.services import ConnectError, ConnectTimeout


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (rejection.DUPLICATE, Kind.DUPLICATE),
        (rejection.LOOPBACK, Kind.SELF),
        (rejection.BANNED, Kind.BANNED),
        (rejection.TOO_MANY_PENDING, Kind.BUSY),
        (rejection.network_mismatch("a", "b"), Kind.NETWORK),
        (rejection.version_mismatch(11, 9), Kind.VERSION),
        (rejection.user_agent_rejected("/x/"), Kind.USER_AGENT),
        (rejection.timeout_expired(4), Kind.TIMEOUT),
        (rejection.unexpected_message("{Version}", "ping"), Kind.UNEXPECTED),
        ("something new", Kind.REJECTED),
        ("", Kind.REJECTED),
    ],
)
def test_a_reject_text_maps_back_to_its_kind(reason: str, kind: Kind) -> None:
    assert kind_of(reason) is kind


def test_a_handshake_error_is_a_connect_error_of_one_line() -> None:
    error = HandshakeError(Kind.REJECTED, "go\naway\x1b[31m" + "x" * 5000, by_peer=True)

    assert isinstance(error, ConnectError)
    assert "\n" not in str(error)
    assert "\x1b" not in str(error)
    assert len(str(error)) < 600
    assert str(error).startswith("the peer rejected us: go away")


@pytest.mark.parametrize("kind", list(Kind))
def test_which_kinds_are_protocol_errors_and_which_are_transient(kind: Kind) -> None:
    error = HandshakeError(kind, "why", by_peer=True)

    assert error.protocol_error is (kind not in (Kind.BUSY, Kind.TIMEOUT, Kind.CLOSED))
    assert error.transient is (kind in (Kind.BUSY, Kind.TIMEOUT, Kind.CLOSED, Kind.DUPLICATE))


def test_only_our_refusals_have_a_reject() -> None:
    assert HandshakeError(Kind.SELF, "why", by_peer=False).reject == "why"
    assert HandshakeError(Kind.SELF, "why", by_peer=True).reject is None


def test_a_handshake_timeout_is_a_connect_timeout_and_can_be_copied() -> None:
    error = HandshakeTimeout(4.0, "Verack")
    again = copy.copy(error)

    assert isinstance(error, ConnectTimeout)
    assert str(error) == "the peer sent no Verack within 4 s"
    assert (again.limit, again.name, again.kind, str(again)) == (4.0, "Verack", Kind.TIMEOUT, str(error))
