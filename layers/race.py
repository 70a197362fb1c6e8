"""Dial through several connectors side by side, and keep the first stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from anyio.abc import ByteStream

from ziggurat.layers.first_success import first_success
from ziggurat.layers.layer import check_connector
from ziggurat.services.dial import dial
from ziggurat.services.remark import Remark, remarks_of_each
from ziggurat.services.service import Connector
from ziggurat.services.uri import Uri
from ziggurat.services.validation import check_seconds

__all__ = ["Race", "race"]


@dataclass(frozen=True, slots=True)
class Race:
    """A connector that dials through several others, in their order, each a little later than the one before it.

    The first **success** wins; the other dials are cancelled, and a stream that arrives too late is closed. When a
    branch fails, the next one starts at once (as RFC 8305 section 5 does it for addresses). All branches stand in one
    ledger; ``Phase.branch`` has their names.

    Args:
        branches: the connectors by name, in the order in which they start; at least one.
        delay: seconds before the next branch starts.

    Raises:
        TypeError, ValueError: an argument is wrong.
    """

    branches: Mapping[str, Connector]
    delay: float = 0.25

    def __post_init__(self) -> None:
        if not isinstance(cast(object, self.branches), Mapping):
            raise TypeError(f"branches must be a mapping from names to connectors, not {self.branches!r}")
        if not self.branches:
            raise ValueError("a race needs at least one branch")
        for name, connector in self.branches.items():
            if not isinstance(cast(object, name), str):
                raise TypeError(f"a branch's name must be a str, not {name!r}")
            check_connector(connector)
        check_seconds("delay", self.delay, optional=False)
        object.__setattr__(self, "branches", dict(self.branches))  # the caller's may change

    async def __call__(self, uri: Uri, /) -> ByteStream:
        """Dial ``uri`` through the branches until one succeeds.

        Raises:
            AllFailed: all branches failed; ``errors`` has the error of each.
            ConnectError: there is one branch; its error.
        """
        with dial(uri) as current:
            return current.established(await first_success(current, uri, list(self.branches.items()), self.delay))

    def remarks(self, target: Uri, /) -> list[Remark]:
        """Return what the branches say about a dial of ``target``, with their names."""
        return remarks_of_each(self.branches, target)

    def __hash__(self) -> int:
        return hash((tuple(self.branches), self.delay))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}: {connector!r}" for name, connector in self.branches.items())
        return f"Race({{{shown}}}, delay={self.delay})"


def race(*connectors: Connector, delay: float = 0.25) -> Race:
    """Return a `Race` of connectors that are named by their position, from 1.

    Raises:
        TypeError, ValueError: an argument is wrong.
    """
    return Race({str(position): connector for position, connector in enumerate(connectors, 1)}, delay)
