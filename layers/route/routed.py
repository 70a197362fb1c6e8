"""The connector that takes the way which its layer decides for each dial."""

from __future__ import annotations

from collections.abc import Iterable

from anyio.abc import ByteStream

from ziggurat.layers.layer import apply_layer
from ziggurat.layers.route.decision import Decider, Decision
from ziggurat.services.dial import dial, phase
from ziggurat.services.errors import RouteRefused
from ziggurat.services.service import Connector
from ziggurat.services.silently_direct import direct_on_purpose
from ziggurat.services.uri import Uri

__all__ = ["Routed"]


class Routed:
    """Asks ``decider`` for each dial, and dials that way. Phase ``route``, whose note says what was decided.

    Args:
        decider: what decides.
        inner: the connector below.
        decisions: the decisions that ``decider`` returns, refusals aside. The layers of each are applied to ``inner``
            once, here, so that what they keep lasts from dial to dial.
    """

    __slots__ = ("_decider", "_inner", "_ways")

    def __init__(self, decider: Decider, inner: Connector, decisions: Iterable[Decision]) -> None:
        self._decider = decider
        self._inner = inner
        # By identity: a layer of the user's need not be hashable, and two equal ones are still two.
        self._ways = {id(decision): (decision, _way(decision, inner)) for decision in decisions}

    async def __call__(self, uri: Uri, /) -> ByteStream:
        """Dial ``uri`` the way that is decided for it; there is no second way.

        Raises:
            RouteRefused: the decision is to refuse; nothing was dialled.
            ConnectError: what the way raises.
        """
        with dial(uri) as current:
            with phase("route") as entry:
                decision = self._decider.decide(uri)
                entry.note = f"{decision.rule or 'no rule fits'}: {decision.via}"
                if decision.way == "refuse":
                    raise RouteRefused(decision.reason or "refused", decision.rule, hint=decision.hint)
            with direct_on_purpose():
                return current.established(await self._ways[id(decision)][1](uri))

    def __repr__(self) -> str:
        return f"Routed({self._decider!r}, {self._inner!r})"


def _way(decision: Decision, inner: Connector) -> Connector:
    if decision.connector is not None:
        return decision.connector
    for layer in reversed(decision.layers):
        inner = apply_layer(layer, inner)
    return inner
