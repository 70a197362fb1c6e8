"""Where a dial goes, and why: what a route or the environment decides for a target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from ziggurat.layers.layer import Layer
from ziggurat.services.service import Connector
from ziggurat.services.uri import Uri

__all__ = ["Decider", "Decision", "Way"]

Way: TypeAlias = Literal["direct", "proxy", "stack", "refuse"]


@dataclass(frozen=True, slots=True)
class Decision:
    """Where a dial goes.

    Attributes:
        way: ``direct``; ``proxy``; ``stack``, layers or a connector of the user's; or ``refuse``.
        rule: what decided, e.g. ``rule 2 (suffix .onion)`` or ``HTTPS_PROXY``; ``None`` if nothing fits.
        via: the way in words, credentials masked: ``direct``, ``socks5://127.0.0.1:9050``, ``refuse``.
        layers: the layers that the dial takes, outermost first; none for ``direct`` and ``refuse``.
        connector: the user's own connector, which the dial takes instead; ``None`` for the one below.
        reason: why it is refused, in one line; ``None`` otherwise.
        hint: what to do about a refusal; ``None`` without one.
    """

    way: Way
    rule: str | None
    via: str
    layers: tuple[Layer, ...] = ()
    connector: Connector | None = None
    reason: str | None = None
    hint: str | None = None


class Decider(Protocol):
    """What decides by the target alone, without resolving or dialling anything."""

    def decide(self, uri: Uri, /) -> Decision:
        """Return where a dial to ``uri`` goes."""
        ...
