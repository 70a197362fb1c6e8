"""The handshake of two Kaspa nodes, without I/O: messages and the time go in, messages come out.

It is the same for both sides, inbound and outbound::

    GREETING --version--> INTRODUCED --verack--> AGREED --(our Ready)--> ANNOUNCED --ready--> READY
        |                                          ^
        +-----verack----> ACKNOWLEDGED --version---+

1. `TRANSITIONS` holds all transitions. Any other message is unexpected.
2. The caller subscribes its flows between AGREED and our Ready: the peer may send messages right after its own Ready.
3. The peer's Version is checked, in kaspad's order, once both its Version and its Verack have arrived. So both sides of
   a refusal have seen each other's Version.
4. The caller passes the time: `Handshake.deadline` is the time by which the next message must arrive.
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
    """The state of a handshake."""

    GREETING = "our Version was sent"
    INTRODUCED = "the peer's Version was received"
    ACKNOWLEDGED = "the peer's Verack was received before its Version"
    AGREED = "the peer's Version and Verack were received and accepted"
    ANNOUNCED = "our Ready was sent"
    READY = "the peer's Ready was received"


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
    """The time limits for the peer's messages, in seconds.

    Attributes:
        version: the time from the start to the peer's Version.
        verack: the time from the peer's Version to its Verack.
        ready: the time from our Ready to the peer's.
    """

    version: float
    verack: float = 4.0
    ready: float = 8.0

    def __post_init__(self) -> None:
        for name in ("version", "verack", "ready"):
            check_seconds(name, getattr(self, name), optional=False)


OUTBOUND_LIMITS = HandshakeLimits(version=30.0)
"""Before 2.1.0, kaspad runs inbound handshakes one at a time, so a busy one may take half a minute to reach ours."""

INBOUND_LIMITS = HandshakeLimits(version=10.0)
"""The dialling side sends its Version when it has our headers: a round trip, which may take seconds through Tor."""


def _refuse_none(value: object) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Rules:
    """The caller's rules for peers. Each returns ``True`` to refuse the peer.

    Attributes:
        is_duplicate: called with the peer's id: whether we are already connected to it.
        is_banned: called with the peer's id: whether it is banned.
        refuses_user_agent: called with the peer's user agent.
    """

    is_duplicate: Callable[[bytes], bool] = _refuse_none
    is_banned: Callable[[bytes], bool] = _refuse_none
    refuses_user_agent: Callable[[str], bool] = _refuse_none


class Handshake:
    """One handshake. Call `begin`, `receive` for each message until AGREED, `announce`, and `receive` until READY.

    Attributes:
        state: the current state.
        peer: the peer's Version, once it has been received and parsed.
        ours: our Version.
    """

    def __init__(self, ours: Version, limits: HandshakeLimits, rules: Rules | None = None) -> None:
        self.ours = ours
        self.peer: Version | None = None
        self.state = State.GREETING
        self._limits = limits
        self._rules = rules or Rules()
        self._wire: VersionMessage | None = None
        self._deadlines: dict[str, tuple[float, float]] = {}  # by awaited message: its limit and its deadline

    def begin(self, now: float) -> list[KaspadMessage]:
        """Start the handshake; return the messages to send: our Version."""
        self._set_deadline("Version", self._limits.version, now)
        return [KaspadMessage(version=version_to_wire(self.ours))]

    def receive(self, message: KaspadMessage, now: float) -> list[KaspadMessage]:
        """Process a message from the peer; return the messages to send.

        Raises:
            HandshakeError: the handshake failed. Send its `reject` to the peer, if it is not ``None``.
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
        """Declare that our flows are ready for messages; return the messages to send: our Ready.

        Raises:
            RuntimeError: the state is not AGREED.
        """
        if self.state is not State.AGREED:
            raise RuntimeError(f"cannot announce in state {self.state.name} ({self.state.value})")
        self.state = State.ANNOUNCED
        self._set_deadline("Ready", self._limits.ready, now)
        return [KaspadMessage(ready=ReadyMessage())]

    @property
    def deadline(self) -> float | None:
        """The time by which the next message must arrive, on the caller's clock; ``None`` if no message is awaited."""
        return min((deadline for _, deadline in self._deadlines.values()), default=None)

    def overdue(self) -> HandshakeTimeout:
        """Return the error for a `deadline` that has passed. It names the message that was due first.

        Raises:
            RuntimeError: no message is awaited.
        """
        if not self._deadlines:
            raise RuntimeError(f"no message is awaited in state {self.state.name} ({self.state.value})")
        name, (limit, _) = min(self._deadlines.items(), key=lambda item: item[1][1])
        return HandshakeTimeout(limit, name)

    def _set_deadline(self, name: str, limit: float, now: float) -> None:
        self._deadlines[name] = (limit, now + limit)

    def _check_peer(self) -> None:
        """Make kaspad's checks, in kaspad's order."""
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
