"""What peers that ask for addresses are told: the same to all of them, for about a day."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import anyio

from ziggurat.node.address import NodeAddress
from ziggurat.node.wire import MAX_ADDRESSES_SENT

__all__ = ["ANSWER_LIFETIME", "AddressAnswers"]

ANSWER_LIFETIME = (21 * 3600.0, 27 * 3600.0)
"""Seconds for which an answer stays the same, drawn from this range, as in Bitcoin Core (its pull request 18991)."""


class _Samples(Protocol):
    async def sample(self, count: int) -> Sequence[NodeAddress]: ...


@dataclass(slots=True)
class _Answer:
    until: float
    addresses: dict[NodeAddress, None] = field(default_factory=dict[NodeAddress, None])


class AddressAnswers:
    """The answers to requests for addresses.

    With a new sample for each request, a few dozen requests read out the whole book, and show what the node has just
    learned, and from whom. There is one answer for each way in which peers reach us or we them: if those that know our
    IP and those that know our onion service were told the same, that would link the two.

    Args:
        book: the address book to draw from.
        rng: the source of randomness; ``None`` takes the system's.
    """

    def __init__(self, book: _Samples, rng: random.Random | None = None) -> None:
        self._book = book
        self._rng = random.SystemRandom() if rng is None else rng
        self._answers: dict[str | None, _Answer] = {}

    async def get(self, via: str | None) -> list[NodeAddress]:
        """Return the answer for a peer, at most 1000 addresses.

        While the book grows, so does the answer: a node that has just started is soon of use to others.

        Args:
            via: the peer's `PeerInfo.via`.
        """
        now = anyio.current_time()
        drawn = await self._book.sample(MAX_ADDRESSES_SENT)
        answer = self._answers.get(via)
        if answer is None or answer.until <= now:
            answer = self._answers[via] = _Answer(now + self._rng.uniform(*ANSWER_LIFETIME))
        for address in drawn:
            if len(answer.addresses) >= min(len(drawn), MAX_ADDRESSES_SENT):
                break
            answer.addresses[address] = None
        return list(answer.addresses)
