"""The handshake of two Kaspa nodes, without I/O: messages and the time go in, messages come out.

Both sides do the same, whoever dialled::

    GREETING --version--> INTRODUCED --verack--> AGREED --(our Ready)--> ANNOUNCED --ready--> READY
        |                                          ^
        +-----verack----> ACKNOWLEDGED --version---+

Rules of this file:

1. All transitions are in `TRANSITIONS`. What is not there is an unexpected message.
2. Between AGREED and our Ready the caller subscribes its flows: the peer's first messages come right behind its own.
3. What the peer says of itself is judged when both its Version and its Verack have come, in kaspad's order, so that
   both sides of a refusal have seen who refuses.
4. Time is a number that the caller passes: `Handshake.deadline` says until when the next message has to come.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

from ziggurat.node.handshake import rejection
from ziggurat.node.handshake.identity import MIN_PROTOCOL_VERSION
from ziggurat.node.handshake.rejection import HandshakeError, HandshakeTimeout, Kind
from ziggurat.node.wire import (
    ConversionError,
    KaspadMessage,
    ReadyMessage,
    VerackMessage,
    Version,
    VersionMessage,
    version_from_wire,
    version_to_wire,
)
from ziggurat.services.validation import check_seconds

__all__ = ["INBOUND_LIMITS", "OUTBOUND_LIMITS", "TRANSITIONS", "Handshake", "HandshakeLimits", "Rules", "State"]


class State(enum.Enum):
    """How far we are."""

    GREETING = "our Version is out"
    INTRODUCED = "the peer's Version is here"
    ACKNOWLEDGED = "the peer's Verack is here, and its Version is not"
    AGREED = "both are here, and nothing speaks against the peer"
    ANNOUNCED = "our Ready is out"
    READY = "the peer's Ready is here"


TRANSITIONS: dict[tuple[State, str], State] = {
    (State.GREETING, "version"): State.INTRODUCED,
    (State.GREETING, "verack"): State.ACKNOWLEDGED,
    (State.INTRODUCED, "verack"): State.AGREED,
    (State.ACKNOWLEDGED, "version"): State.AGREED,
    (State.ANNOUNCED, "ready"): State.READY,
}

EXPECTED_PAYLOADS = {
    State.GREETING: "{Version, Verack}",
    State.INTRODUCED: "{Verack}",
    State.ACKNOWLEDGED: "{Version}",
    State.AGREED: "{}",
    State.ANNOUNCED: "{Ready}",
    State.READY: "{}",
}


@dataclass(frozen=True, slots=True)
class HandshakeLimits:
    """Seconds that the peer has.

    Attributes:
        version: from the start to its Version.
        verack: from its Version to its Verack.
        ready: from our Ready to its own.
    """

    version: float
    verack: float = 4.0
    ready: float = 8.0

    def __post_init__(self) -> None:
        for name in ("version", "verack", "ready"):
            check_seconds(name, getattr(self, name), optional=False)


OUTBOUND_LIMITS = HandshakeLimits(version=30.0)
"""A kaspad before 2.1.0 greets one dialler after the other: a busy one may take half a minute to come to us."""

INBOUND_LIMITS = HandshakeLimits(version=10.0)
"""Who dials speaks as soon as it has our headers: a round trip, which through Tor may take some seconds."""


def _refuse_none(value: object) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Rules:
    """What is looked up elsewhere when a peer is judged. Each answers ``True`` to refuse.

    Attributes:
        is_duplicate: of the peer's id: are we connected with it already?
        is_banned: of its id; for an inbound peer.
        refuses_user_agent: of its user agent.
    """

    is_duplicate: Callable[[bytes], bool] = _refuse_none
    is_banned: Callable[[bytes], bool] = _refuse_none
    refuses_user_agent: Callable[[str], bool] = _refuse_none


class Handshake:
    """One handshake. `begin`, then `receive` each message, until `state` is AGREED; `announce`, and on to READY.

    Attributes:
        state: how far we are.
        peer: the peer's Version, once it is here and can be read.
        ours: our own.
    """

    def __init__(self, ours: Version, limits: HandshakeLimits, rules: Rules | None = None) -> None:
        self.ours = ours
        self.peer: Version | None = None
        self.state = State.GREETING
        self._limits = limits
        self._rules = rules or Rules()
        self._wire: VersionMessage | None = None
        self._deadlines: dict[str, tuple[float, float]] = {}  # what is awaited: its limit and its deadline

    def begin(self, now: float) -> list[KaspadMessage]:
        """Send what is returned: our Version."""
        self._set_deadline("Version", self._limits.version, now)
        return [KaspadMessage(version=version_to_wire(self.ours))]

    def receive(self, message: KaspadMessage, now: float) -> list[KaspadMessage]:
        """Take a message of the peer; send what is returned.

        Raises:
            HandshakeError: it is over; tell the peer its `reject`, if there is one.
        """
        payload = message.WhichOneof("payload") or "nothing"
        if payload == "reject":
            reason = message.reject.reason
            raise HandshakeError(rejection.kind_of(reason), reason, by_peer=True)
        following = TRANSITIONS.get((self.state, payload))
        if following is None:
            reason = rejection.unexpected_message(EXPECTED_PAYLOADS[self.state], payload)
            raise HandshakeError(Kind.UNEXPECTED, reason, by_peer=False)
        answers: list[KaspadMessage] = []
        if payload == "version":
            self._wire = message.version
            del self._deadlines["Version"]
            if following is State.INTRODUCED:
                self._set_deadline("Verack", self._limits.verack, now)
            answers = [KaspadMessage(verack=VerackMessage())]
        else:
            self._deadlines.pop(payload.capitalize(), None)
        self.state = following
        if following is State.AGREED:
            self._check_peer()
        return answers

    def announce(self, now: float) -> list[KaspadMessage]:
        """Say that everything here is ready for the peer's messages; send what is returned.

        Raises:
            RuntimeError: the two have not agreed, or this was said before.
        """
        if self.state is not State.AGREED:
            raise RuntimeError(f"cannot announce while {self.state.value}")
        self.state = State.ANNOUNCED
        self._set_deadline("Ready", self._limits.ready, now)
        return [KaspadMessage(ready=ReadyMessage())]

    @property
    def deadline(self) -> float | None:
        """Until when the next message has to come, on the caller's clock; ``None`` while nothing is awaited."""
        return min((deadline for _, deadline in self._deadlines.values()), default=None)

    def overdue(self) -> HandshakeTimeout:
        """The error for a `deadline` that has passed: it names what should have come first.

        Raises:
            RuntimeError: nothing is awaited.
        """
        if not self._deadlines:
            raise RuntimeError(f"nothing is awaited while {self.state.value}")
        name, (limit, _) = min(self._deadlines.items(), key=lambda item: item[1][1])
        return HandshakeTimeout(limit, name)

    def _set_deadline(self, name: str, limit: float, now: float) -> None:
        self._deadlines[name] = (limit, now + limit)

    def _check_peer(self) -> None:
        """kaspad's checks, in kaspad's order."""
        assert self._wire is not None
        try:
            peer = self.peer = version_from_wire(self._wire)
        except ConversionError as error:
            raise HandshakeError(Kind.MALFORMED, str(error), by_peer=False) from None
        if self._rules.is_banned(peer.id):
            raise HandshakeError(Kind.BANNED, rejection.BANNED, by_peer=False)
        if self._rules.is_duplicate(peer.id):
            raise HandshakeError(Kind.DUPLICATE, rejection.DUPLICATE, by_peer=False)
        if peer.id == self.ours.id:
            raise HandshakeError(Kind.SELF, rejection.LOOPBACK, by_peer=False)
        if peer.network != self.ours.network:
            reason = rejection.network_mismatch(self.ours.network, peer.network)
            raise HandshakeError(Kind.NETWORK, reason, by_peer=False)
        if self._rules.refuses_user_agent(peer.user_agent):
            raise HandshakeError(Kind.USER_AGENT, rejection.user_agent_rejected(peer.user_agent), by_peer=False)
        if peer.protocol_version < MIN_PROTOCOL_VERSION:
            reason = rejection.version_mismatch(self.ours.protocol_version, peer.protocol_version)
            raise HandshakeError(Kind.VERSION, reason, by_peer=False)
