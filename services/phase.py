"""One step of a dial, as the ledger records it, and the label of attempts and branches."""

from __future__ import annotations

from contextvars import ContextVar, Token
from types import TracebackType
from typing import Literal, TypeAlias

__all__ = ["Outcome", "Phase", "current_label", "label"]

Outcome: TypeAlias = Literal["running", "ok", "failed", "timeout", "cancelled"]


_labels: ContextVar[tuple[int | None, str | None]] = ContextVar("ziggurat_labels", default=(None, None))


class label:
    """Mark the phases that begin in a ``with`` block as those of one attempt or one branch.

    A layer that dials again after a failure numbers its attempts; one that dials several times at once names its
    branches. All of them stand in one ledger.

    Args:
        attempt: the number of the attempt, from 1; ``None`` leaves it as it is.
        branch: the name of the branch; inside another branch it follows that one's, after a slash. ``None`` leaves it
            as it is.
    """

    __slots__ = ("_attempt", "_branch", "_token")

    def __init__(self, *, attempt: int | None = None, branch: str | None = None) -> None:
        self._attempt = attempt
        self._branch = branch

    def __enter__(self) -> None:
        attempt, branch = _labels.get()
        if self._attempt is not None:
            attempt = self._attempt
        if self._branch is not None:
            branch = self._branch if branch is None else f"{branch}/{self._branch}"
        self._token: Token[tuple[int | None, str | None]] = _labels.set((attempt, branch))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _labels.reset(self._token)


def current_label() -> tuple[int | None, str | None]:
    """Return the attempt and the branch that a phase which begins here gets; ``None`` for each that there is not."""
    return _labels.get()


class Phase:
    """One named step of a dial.

    Attributes:
        name: a dotted name: ``tcp``, ``proxy.connect``, or a user's own.
        via: the proxy or address that the phase deals with; ``None`` for the target itself.
        limit: seconds left of its limit when the phase began; ``None`` without a limit.
        start: seconds from the start of the dial to the start of the phase.
        elapsed: duration in seconds; ``None`` while the phase runs.
        sent: bytes sent, if the layer counts them.
        received: bytes received, if the layer counts them.
        outcome: ``running``, ``ok``, ``failed``, ``timeout`` or ``cancelled``.
        hint: what it means if a limit ends the phase, for the error; ``None`` without one.
        note: a remark for the reader, e.g. that nothing was isolated; ``None`` without one.
        attempt: the number of the attempt, from 1, if the layer above retries; ``None`` if none does.
        branch: the name of the branch, endpoint or way, if a connector above has several; ``None`` if none does.
        host: the host that the phase was asked to deal with, where ``via`` is another name that stands for it, as with
            ``TlsLayer(server_name=)``; ``None`` where they are the same.
        discarded: whether it belongs to an attempt that failed, or to a branch that failed or was closed, so that the
            dial's stream, if there is one, does not come from it.
    """

    __slots__ = (
        *("attempt", "branch", "discarded", "elapsed", "hint", "host", "limit", "name", "note"),
        *("outcome", "received", "sent", "start", "via"),
    )

    def __init__(self, name: str, via: str | None, limit: float | None, start: float) -> None:
        self.name = name
        self.via = via
        self.limit = limit
        self.start = start
        self.elapsed: float | None = None
        self.sent = 0
        self.received = 0
        self.outcome: Outcome = "running"
        self.hint: str | None = None
        self.note: str | None = None
        self.host: str | None = None
        self.discarded = False
        self.attempt, self.branch = _labels.get()

    def verified(self, host: str) -> bool:
        """Whether this is TLS that has verified ``host``, or the name that the user had stand for it."""
        asked = self.via if self.host is None else self.host
        bare = host.partition("%")[0].removesuffix(".")  # no certificate has a zone id
        if self.name != "tls" or self.outcome != "ok" or self.discarded:
            return False
        return asked is not None and asked.removesuffix(".") == bare

    def __repr__(self) -> str:
        took = "running" if self.elapsed is None else f"{self.elapsed:.3f} s, {self.outcome}"
        return f"Phase({self.name}{f' via {self.via}' if self.via else ''}: {took})"
