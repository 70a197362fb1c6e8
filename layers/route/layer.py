"""Choose the way of each dial by rules: a proxy, a stack, direct, or none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import cast

from ziggurat.layers.layer import Layer
from ziggurat.layers.route.decision import Decision
from ziggurat.layers.route.routed import Routed
from ziggurat.layers.route.rule import Rule
from ziggurat.services.service import Connector
from ziggurat.services.uri import Uri

__all__ = ["RouteLayer"]


@dataclass(frozen=True, slots=True)
class RouteLayer:
    """Wraps a connector in one that dials each target the way of the first `Rule` that fits it (phase ``route``).

    A target that no rule fits is refused, and so is one whose rule says ``refuse``: `RouteRefused`. There is no
    fallback from one rule to the next, and nothing is resolved or dialled to decide. End with ``Rule(via="direct")`` to
    dial everything else directly.

    Args:
        rules: the rules, in order.

    Raises:
        TypeError: something else than a `Rule` is among them.
        ValueError: there is none.
    """

    rules: Sequence[Rule]
    _decisions: tuple[Decision, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        given = cast(object, self.rules)
        if isinstance(given, Rule) or not isinstance(given, Iterable):
            raise TypeError(f"rules must be a list of Rule, not {given!r}")
        rules = tuple(cast("Iterable[object]", given))
        if not rules:
            raise ValueError("a route without rules refuses everything: give at least one Rule")
        for rule in rules:
            if not isinstance(rule, Rule):
                raise TypeError(f"rules must be a list of Rule, not of {type(rule).__name__}")
        object.__setattr__(self, "rules", rules)
        decisions = tuple(_decision(number, rule) for number, rule in enumerate(self.rules, 1))
        object.__setattr__(self, "_decisions", decisions)

    def decide(self, uri: Uri, /) -> Decision:
        """Return where a dial to ``uri`` goes, and which rule says so."""
        for rule, decision in zip(self.rules, self._decisions, strict=True):
            if rule.fits(uri):
                return decision
        reason = "no rule of the route fits"
        return Decision("refuse", None, "refuse", reason=reason, hint="add a rule for it, or one without conditions")

    def layers_for(self, target: Uri, /) -> tuple[Layer, ...]:
        """Return the layers that a dial of ``target`` takes; for `Place`."""
        return self.decide(target).layers

    def map_layers(self, change: Callable[[tuple[Layer, ...]], tuple[Layer, ...]]) -> RouteLayer:
        """Return the same route, with ``change`` applied to the layers of each rule: to give them credentials, say."""
        return RouteLayer([rule.map_layers(change) for rule in self.rules])

    def layer(self, inner: Connector, /) -> Connector:
        return Routed(self, inner, self._decisions)


def _decision(number: int, rule: Rule) -> Decision:
    text = rule.name or f"rule {number} ({rule.conditions})"
    reason = f"refused by {text}" if rule.way == "refuse" else None
    return Decision(rule.way, text, rule.via, rule.layers, rule.connector, reason)
